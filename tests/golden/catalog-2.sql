CREATE TABLE "check" (
	run VARCHAR NOT NULL, 
	place INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	outcome VARCHAR NOT NULL, 
	file VARCHAR NOT NULL, 
	promised VARCHAR NOT NULL, 
	got VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	count INTEGER NOT NULL, 
	PRIMARY KEY (run, place)
);
CREATE TABLE drill (
	id VARCHAR NOT NULL, 
	snapshot VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	scope VARCHAR NOT NULL, 
	started_at VARCHAR NOT NULL, 
	ended_at VARCHAR NOT NULL, 
	outcome VARCHAR NOT NULL, 
	files INTEGER NOT NULL, 
	bytes INTEGER NOT NULL, 
	milliseconds INTEGER NOT NULL, 
	problem VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE fact (
	name VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE file (
	snapshot VARCHAR NOT NULL, 
	path VARCHAR NOT NULL, 
	size INTEGER NOT NULL, 
	crc32 INTEGER NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	promised_size INTEGER, 
	promised_crc32 INTEGER, 
	promised_sha256 VARCHAR, 
	PRIMARY KEY (snapshot, path)
);
INSERT INTO "file" VALUES('beb53808a95b38d118c8772d3ab9d349c9c28d0a60b46230e51cdcfa4791c306','a',1,2212294583,'6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b',1,NULL,NULL);
INSERT INTO "file" VALUES('e91dd3b63b40c74cce6048f7ba5bb327d304f5fc0b1455093980d071600845b9','a',1,450215437,'d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35',1,NULL,NULL);
CREATE TABLE head (
	chain VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	id VARCHAR NOT NULL, 
	noted_at VARCHAR NOT NULL, 
	PRIMARY KEY (chain, number, id)
);
CREATE TABLE job (
	id VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	scope VARCHAR NOT NULL, 
	intent VARCHAR NOT NULL, 
	opened_at VARCHAR NOT NULL, 
	asked_at VARCHAR NOT NULL, 
	ref VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	closed_at VARCHAR NOT NULL, 
	closed_because VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE lease (
	credential VARCHAR NOT NULL, 
	holder VARCHAR NOT NULL, 
	since VARCHAR NOT NULL, 
	expires_at VARCHAR NOT NULL, 
	PRIMARY KEY (credential)
);
CREATE TABLE pack (
	digest VARCHAR NOT NULL, 
	size INTEGER NOT NULL, 
	last_good_at VARCHAR NOT NULL, 
	last_bad_at VARCHAR NOT NULL, 
	PRIMARY KEY (digest)
);
CREATE TABLE run (
	id VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	scope VARCHAR NOT NULL, 
	system VARCHAR NOT NULL, 
	request VARCHAR NOT NULL, 
	"trigger" VARCHAR NOT NULL, 
	flow_run VARCHAR NOT NULL, 
	job VARCHAR NOT NULL, 
	started_at VARCHAR NOT NULL, 
	holder VARCHAR NOT NULL, 
	phase VARCHAR NOT NULL, 
	ended_at VARCHAR NOT NULL, 
	ended VARCHAR NOT NULL, 
	exit_code INTEGER, 
	reason VARCHAR NOT NULL, 
	hint VARCHAR NOT NULL, 
	snapshot VARCHAR NOT NULL, 
	bytes_fetched INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE scope (
	source VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	request VARCHAR NOT NULL, 
	PRIMARY KEY (source, name)
);
INSERT INTO "scope" VALUES('lab','group 1234','{"format": "xml", "id": 1234, "kind": "group"}');
CREATE TABLE scrub (
	id VARCHAR NOT NULL, 
	started_at VARCHAR NOT NULL, 
	ended_at VARCHAR NOT NULL, 
	asked VARCHAR NOT NULL, 
	packs INTEGER NOT NULL, 
	packs_read INTEGER NOT NULL, 
	bytes_read INTEGER NOT NULL, 
	findings INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE snapshot (
	id VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	scope VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	run VARCHAR NOT NULL, 
	taken_at VARCHAR NOT NULL, 
	committed_at VARCHAR NOT NULL, 
	quality VARCHAR NOT NULL, 
	files INTEGER NOT NULL, 
	size INTEGER NOT NULL, 
	stored_bytes INTEGER NOT NULL, 
	forgotten_at VARCHAR NOT NULL, 
	forgotten_because VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "snapshot" VALUES('beb53808a95b38d118c8772d3ab9d349c9c28d0a60b46230e51cdcfa4791c306','lab','group 1234',2,'20260302-023000-0000abcd','2026-03-02T02:30:00.000000Z','2026-03-02T02:35:00.000000Z','verified',1,1,447,'','');
INSERT INTO "snapshot" VALUES('e91dd3b63b40c74cce6048f7ba5bb327d304f5fc0b1455093980d071600845b9','lab','group 1234',3,'20260303-023000-0000abcd','2026-03-03T02:30:00.000000Z','2026-03-03T02:35:00.000000Z','verified',1,1,447,'','');
INSERT INTO "snapshot" VALUES('2e42fb71e40f5b448eb247d8cb792b73d8b4dffca4c452d46adb308effe8954c','lab','group 1234',1,'20260301-023000-0000abcd','2026-03-01T02:30:00.000000Z','2026-03-01T02:35:00.000000Z','verified',1,1,538,'2026-03-31T02:30:00.000000Z','told to');
CREATE TABLE source (
	name VARCHAR NOT NULL, 
	system VARCHAR NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "source" VALUES('lab','rspace');
CREATE INDEX run_by_scope ON run (source, scope, started_at);
CREATE INDEX job_by_scope ON job (source, scope, closed_at);
CREATE INDEX snapshot_by_scope ON snapshot (source, scope, taken_at);
CREATE INDEX ix_file_sha256 ON file (sha256);
pragma user_version = 2;
