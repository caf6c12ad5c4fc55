BEGIN TRANSACTION;
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
CREATE TABLE decision (
	source VARCHAR NOT NULL, 
	scope VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	n INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	snapshot VARCHAR NOT NULL, 
	made_at VARCHAR NOT NULL, 
	"by" VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	until VARCHAR NOT NULL, 
	PRIMARY KEY (source, scope, number, n)
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
	gone VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
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
COMMIT;
PRAGMA user_version = 3;
