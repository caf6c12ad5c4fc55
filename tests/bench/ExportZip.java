import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.FileOutputStream;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * Writes ZIPs as RSpace's exporter does: java.util.zip, streamed, default level.
 * Reads from stdin: the ZIP's path, then its members (name, seconds since 1970 of its local time, content), then an
 * empty name; texts and contents stand behind their length. Answers "done" per ZIP. Ends with its input.
 */
public class ExportZip {
    public static void main(String[] args) throws Exception {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        for (String path = text(in); !path.isEmpty(); path = text(in)) {
            try (ZipOutputStream zip =
                    new ZipOutputStream(new BufferedOutputStream(new FileOutputStream(path), 1 << 16))) {
                for (String name = text(in); !name.isEmpty(); name = text(in)) {
                    ZipEntry entry = new ZipEntry(name);
                    entry.setTimeLocal(LocalDateTime.ofEpochSecond(in.readLong(), 0, ZoneOffset.UTC));
                    zip.putNextEntry(entry);
                    zip.write(in.readNBytes(in.readInt()));
                    zip.closeEntry();
                }
            }
            System.out.println("done");
        }
    }

    private static String text(DataInputStream in) throws Exception {
        return new String(in.readNBytes(in.readInt()), StandardCharsets.UTF_8);
    }
}
