-- A data folder's database as Photogram 0.1 left it (`PRAGMA user_version` 1).
BEGIN TRANSACTION;
CREATE TABLE account (
	id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL CHECK (kind IN ('customer', 'issued', 'revenue')), 
	name VARCHAR, 
	debits_pending BIGINT DEFAULT '0' NOT NULL CHECK (debits_pending BETWEEN 0 AND 4611686018427387904), 
	debits_posted BIGINT DEFAULT '0' NOT NULL CHECK (debits_posted BETWEEN 0 AND 4611686018427387904), 
	credits_pending BIGINT DEFAULT '0' NOT NULL CHECK (credits_pending BETWEEN 0 AND 4611686018427387904), 
	credits_posted BIGINT DEFAULT '0' NOT NULL CHECK (credits_posted BETWEEN 0 AND 4611686018427387904), 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	CHECK ((kind = 'customer') = (name IS NOT NULL)), 
	CONSTRAINT balance_never_below_zero CHECK (kind <> 'customer' OR credits_posted - debits_posted - debits_pending >= 0), 
	UNIQUE (name)
);
INSERT INTO "account" VALUES('issued','issued',NULL,0,100050000,0,0,'2026-11-22 21:31:10.272736');
INSERT INTO "account" VALUES('revenue','revenue',NULL,0,0,39474,79737,'2026-11-22 21:31:10.274982');
INSERT INTO "account" VALUES('01M82JQ3JFGGBDKW0SBA3WF52Q','customer','ann',39474,29737,0,100000000,'2026-11-22 21:31:10.287842');
INSERT INTO "account" VALUES('01M82JQ3JSXVRE63MNQGPQ3GDW','customer','bob',0,50000,0,50000,'2026-11-22 21:31:10.297234');
CREATE TABLE api_key (
	id VARCHAR NOT NULL, 
	account_id VARCHAR NOT NULL, 
	token_hash VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	revoked_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(account_id) REFERENCES account (id)
);
INSERT INTO "api_key" VALUES('UcXHeQCj','01M82JQ3JFGGBDKW0SBA3WF52Q','322056a76471b374dfe6ee3eb8dd2f774ca58d0f13b01aabc083a453575ff977','2026-11-22 21:31:10.288339',NULL);
INSERT INTO "api_key" VALUES('QGaJgfG2','01M82JQ3JSXVRE63MNQGPQ3GDW','beb142bb8ea5c90dbbf4d71444359abe180339186bd01be579f7ed2ec78e9390','2026-11-22 21:31:10.297465',NULL);
INSERT INTO "api_key" VALUES('GRZFjxzT','01M82JQ3JSXVRE63MNQGPQ3GDW','859cca3e9531dfd1a2157ea41ef876af88da79b85a5143c0f310de8afa1d4774','2026-11-22 21:31:10.299899','2026-11-22 21:31:10.301920');
CREATE TABLE job (
	id VARCHAR NOT NULL, 
	account_id VARCHAR NOT NULL, 
	key_id VARCHAR NOT NULL, 
	hold_id VARCHAR NOT NULL, 
	state VARCHAR NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')), 
	error_code VARCHAR, 
	price_version VARCHAR NOT NULL, 
	num_images INTEGER NOT NULL, 
	num_steps INTEGER NOT NULL, 
	guidance FLOAT NOT NULL, 
	pixel_factor VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(account_id) REFERENCES account (id), 
	FOREIGN KEY(key_id) REFERENCES api_key (id), 
	UNIQUE (hold_id), 
	FOREIGN KEY(hold_id) REFERENCES transfer (id)
);
INSERT INTO "job" VALUES('queued','01M82JQ3JFGGBDKW0SBA3WF52Q','UcXHeQCj','01M82JQ3M0PHJ6JJ6QTY4RYVJY','queued',NULL,'test',1,4,3.5,'1','2026-11-22 21:31:10.337989',NULL,NULL);
INSERT INTO "job" VALUES('running','01M82JQ3JFGGBDKW0SBA3WF52Q','UcXHeQCj','01M82JQ3MAY7AE99KPDSWDVZJ1','running',NULL,'test',1,4,3.5,'1','2026-11-22 21:31:10.347922','2026-11-22 21:31:10.352062',NULL);
INSERT INTO "job" VALUES('succeeded','01M82JQ3JFGGBDKW0SBA3WF52Q','UcXHeQCj','01M82JQ3MXE5Z0ZB95AANT2P0D','succeeded',NULL,'test',1,4,3.5,'1','2026-11-22 21:31:10.366127','2026-11-22 21:31:10.373958','2026-11-22 21:31:10.409727');
INSERT INTO "job" VALUES('failed','01M82JQ3JFGGBDKW0SBA3WF52Q','UcXHeQCj','01M82JQ3NATVFEZMAWXK4VY1AB','failed','inference_failed','test',1,4,3.5,'1','2026-11-22 21:31:10.378481','2026-11-22 21:31:10.379929','2026-11-22 21:31:10.435263');
INSERT INTO "job" VALUES('cancelled','01M82JQ3JFGGBDKW0SBA3WF52Q','UcXHeQCj','01M82JQ3NNADZ6JK0FPKASBG5V','cancelled','cancelled','test',1,4,3.5,'1','2026-11-22 21:31:10.390099','2026-11-22 21:31:10.393806','2026-11-22 21:31:10.445832');
INSERT INTO "job" VALUES('partly','01M82JQ3JFGGBDKW0SBA3WF52Q','UcXHeQCj','01M82JQ3NYK16A3DG80QZP954S','succeeded',NULL,'test',1,4,3.5,'1','2026-11-22 21:31:10.398395','2026-11-22 21:31:10.399443','2026-11-22 21:31:10.425697');
INSERT INTO "job" VALUES('bobs','01M82JQ3JSXVRE63MNQGPQ3GDW','QGaJgfG2','01M82JQ3QJKFW2R9A61ER4D2Y9','succeeded',NULL,'test',1,4,3.5,'1','2026-11-22 21:31:10.450946','2026-11-22 21:31:10.457974','2026-11-22 21:31:10.458138');
CREATE TABLE transfer (
	id VARCHAR NOT NULL, 
	debit_account_id VARCHAR NOT NULL, 
	credit_account_id VARCHAR NOT NULL, 
	amount_micro BIGINT NOT NULL, 
	phase VARCHAR NOT NULL CHECK (phase IN ('single', 'pending', 'post', 'void')), 
	pending_id VARCHAR, 
	idem_ref VARCHAR NOT NULL, 
	job_id VARCHAR, 
	reason VARCHAR, 
	actor VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	CHECK ((phase IN ('post', 'void')) = (pending_id IS NOT NULL)), 
	CHECK (amount_micro > 0 OR (amount_micro = 0 AND phase <> 'single')), 
	CHECK (debit_account_id <> credit_account_id), 
	FOREIGN KEY(debit_account_id) REFERENCES account (id), 
	FOREIGN KEY(credit_account_id) REFERENCES account (id), 
	FOREIGN KEY(pending_id) REFERENCES transfer (id), 
	UNIQUE (idem_ref)
);
INSERT INTO "transfer" VALUES('01M82JQ3KJ16SXGH8N3RZ9HF82','issued','01M82JQ3JFGGBDKW0SBA3WF52Q',100000000,'single',NULL,'first-credits',NULL,NULL,'server','2026-11-22 21:31:10.323389');
INSERT INTO "transfer" VALUES('01M82JQ3KYYKT1RAFCSGR5GWSH','issued','01M82JQ3JSXVRE63MNQGPQ3GDW',50000,'single',NULL,'01M82JQ3KYHHV0QHDR4QAZ97ZG',NULL,NULL,'cli','2026-11-22 21:31:10.334674');
INSERT INTO "transfer" VALUES('01M82JQ3M0PHJ6JJ6QTY4RYVJY','01M82JQ3JFGGBDKW0SBA3WF52Q','revenue',19737,'pending',NULL,'queued:hold','queued',NULL,'job','2026-11-22 21:31:10.337891');
INSERT INTO "transfer" VALUES('01M82JQ3MAY7AE99KPDSWDVZJ1','01M82JQ3JFGGBDKW0SBA3WF52Q','revenue',19737,'pending',NULL,'running:hold','running',NULL,'job','2026-11-22 21:31:10.347224');
INSERT INTO "transfer" VALUES('01M82JQ3MXE5Z0ZB95AANT2P0D','01M82JQ3JFGGBDKW0SBA3WF52Q','revenue',19737,'pending',NULL,'succeeded:hold','succeeded',NULL,'job','2026-11-22 21:31:10.366011');
INSERT INTO "transfer" VALUES('01M82JQ3NATVFEZMAWXK4VY1AB','01M82JQ3JFGGBDKW0SBA3WF52Q','revenue',19737,'pending',NULL,'failed:hold','failed',NULL,'job','2026-11-22 21:31:10.378389');
INSERT INTO "transfer" VALUES('01M82JQ3NNADZ6JK0FPKASBG5V','01M82JQ3JFGGBDKW0SBA3WF52Q','revenue',19737,'pending',NULL,'cancelled:hold','cancelled',NULL,'job','2026-11-22 21:31:10.389998');
INSERT INTO "transfer" VALUES('01M82JQ3NYK16A3DG80QZP954S','01M82JQ3JFGGBDKW0SBA3WF52Q','revenue',19737,'pending',NULL,'partly:hold','partly',NULL,'job','2026-11-22 21:31:10.398303');
INSERT INTO "transfer" VALUES('01M82JQ3PP0A1VGCN3G5G6N93F','01M82JQ3JFGGBDKW0SBA3WF52Q','revenue',19737,'post','01M82JQ3MXE5Z0ZB95AANT2P0D','01M82JQ3MXE5Z0ZB95AANT2P0D:end','succeeded',NULL,'job','2026-11-22 21:31:10.422670');
INSERT INTO "transfer" VALUES('01M82JQ3PSD44TJCGG2Y978SBH','01M82JQ3JFGGBDKW0SBA3WF52Q','revenue',10000,'post','01M82JQ3NYK16A3DG80QZP954S','01M82JQ3NYK16A3DG80QZP954S:end','partly',NULL,'job','2026-11-22 21:31:10.426073');
INSERT INTO "transfer" VALUES('01M82JQ3Q4NB6JCJ7W13SYZCHT','01M82JQ3JFGGBDKW0SBA3WF52Q','revenue',19737,'void','01M82JQ3NATVFEZMAWXK4VY1AB','01M82JQ3NATVFEZMAWXK4VY1AB:end','failed','inference_failed','job','2026-11-22 21:31:10.436196');
INSERT INTO "transfer" VALUES('01M82JQ3QEJ4JTVPMF8TDSF5RR','01M82JQ3JFGGBDKW0SBA3WF52Q','revenue',19737,'void','01M82JQ3NNADZ6JK0FPKASBG5V','01M82JQ3NNADZ6JK0FPKASBG5V:end','cancelled','cancelled','job','2026-11-22 21:31:10.446352');
INSERT INTO "transfer" VALUES('01M82JQ3QJKFW2R9A61ER4D2Y9','01M82JQ3JSXVRE63MNQGPQ3GDW','revenue',50000,'pending',NULL,'bobs:hold','bobs',NULL,'job','2026-11-22 21:31:10.450854');
INSERT INTO "transfer" VALUES('01M82JQ3QTVVZBKNK711YY0PTC','01M82JQ3JSXVRE63MNQGPQ3GDW','revenue',50000,'post','01M82JQ3QJKFW2R9A61ER4D2Y9','01M82JQ3QJKFW2R9A61ER4D2Y9:end','bobs',NULL,'job','2026-11-22 21:31:10.458526');
CREATE UNIQUE INDEX one_resolution_per_hold ON transfer (pending_id) WHERE pending_id IS NOT NULL;
CREATE INDEX open_jobs ON job (state) WHERE state IN ('queued', 'running');
CREATE TRIGGER transfer_never_changes 
        BEFORE UPDATE ON transfer
        BEGIN SELECT RAISE(ABORT, 'a transfer never changes'); END;
CREATE TRIGGER transfer_never_goes 
        BEFORE DELETE ON transfer
        BEGIN SELECT RAISE(ABORT, 'a transfer never goes'); END;
CREATE TRIGGER transfer_resolves_its_hold 
        BEFORE INSERT ON transfer WHEN NEW.phase IN ('post', 'void') AND NOT EXISTS (
            SELECT 1 FROM transfer AS hold
            WHERE hold.id = NEW.pending_id AND hold.phase = 'pending'
            AND hold.debit_account_id = NEW.debit_account_id
            AND hold.credit_account_id = NEW.credit_account_id
            AND (NEW.amount_micro = hold.amount_micro
                 OR (NEW.phase = 'post' AND NEW.amount_micro < hold.amount_micro)))
        BEGIN SELECT RAISE(ABORT, 'a transfer resolves a hold of its own accounts and size'); END;
CREATE TRIGGER job_starts_queued 
        BEFORE INSERT ON job WHEN NEW.state <> 'queued'
        BEGIN SELECT RAISE(ABORT, 'a job starts queued'); END;
CREATE TRIGGER job_goes_forward 
        BEFORE UPDATE OF state ON job WHEN NOT (
            (OLD.state = 'queued' AND NEW.state IN ('running', 'failed', 'cancelled'))
            OR (OLD.state = 'running' AND NEW.state IN ('succeeded', 'failed', 'cancelled')))
        BEGIN SELECT RAISE(ABORT, 'a job does not go back'); END;
COMMIT;
PRAGMA user_version = 1;
