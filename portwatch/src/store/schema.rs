//! The layout of the history, one step a version. A step that was released is never changed: old files were made by it.

/// "pwtc", by which a file is known as ours.
pub(super) const APPLICATION_ID: i32 = 0x7077_7463;

/// Steps from nothing to today's layout; the version of a file is the number of steps it has seen.
pub(super) const STEPS: &[&str] = &[VERSION_1];

/// Names of programs stand once in `program`, so that a name is looked for among thousands and not among millions, and
/// the indexes hold numbers. The whole report is apart in `detail`, so that `conflict` stays small enough to be scanned.
const VERSION_1: &str = "
-- Programs that were refused, or had the port. Not nameable: reason says why, and the rest is empty.
CREATE TABLE program (
    number    INTEGER PRIMARY KEY,
    name      TEXT NOT NULL,                -- comm
    exe       TEXT NOT NULL,                -- path of the executable
    unit      TEXT NOT NULL,                -- systemd unit
    container TEXT NOT NULL,                -- name of the container
    pod       TEXT NOT NULL,                -- namespace/name of the pod
    reason    TEXT NOT NULL,                -- why it has no name
    label     TEXT NOT NULL,                -- what a person calls it
    UNIQUE (name, exe, unit, container, pod, reason)
) STRICT;

-- Refused calls; times are nanoseconds since 1970, UTC.
CREATE TABLE conflict (
    number      INTEGER PRIMARY KEY,
    id          TEXT NOT NULL,              -- unique since the host booted; with first_time for good
    first_time  INTEGER NOT NULL,           -- first refusal
    time        INTEGER NOT NULL,           -- latest refusal
    count       INTEGER NOT NULL,           -- refusals so far
    operation   TEXT NOT NULL,
    errno       TEXT NOT NULL,
    protocol    TEXT NOT NULL,
    address     TEXT NOT NULL,
    port        INTEGER NOT NULL,           -- 0: the kernel was to choose and found none
    netns       INTEGER NOT NULL,
    backend     TEXT NOT NULL,
    cause       TEXT NOT NULL,
    victim      INTEGER NOT NULL REFERENCES program (number),
    victim_pid  INTEGER NOT NULL,
    culprit     INTEGER NOT NULL REFERENCES program (number),
    culprit_pid INTEGER,
    UNIQUE (id, first_time)
) STRICT;

-- Sockets because of which a call was refused; place 0 is the culprit's.
CREATE TABLE holder (
    conflict    INTEGER NOT NULL REFERENCES conflict (number) ON DELETE CASCADE,
    place       INTEGER NOT NULL,
    part        TEXT NOT NULL,              -- holder: has it; creator: was given the port
    program     INTEGER NOT NULL REFERENCES program (number),
    pid         INTEGER,
    uid         INTEGER,
    state       TEXT NOT NULL,
    local       TEXT,
    remote      TEXT,
    assigned_by TEXT NOT NULL,
    alive       INTEGER NOT NULL,
    evidence    TEXT,
    PRIMARY KEY (conflict, place, part)
) STRICT, WITHOUT ROWID;

-- The whole report, as `portwatch history -o json` shows it.
CREATE TABLE detail (
    conflict INTEGER PRIMARY KEY REFERENCES conflict (number) ON DELETE CASCADE,
    json     TEXT NOT NULL
) STRICT;

-- Steps this file has seen.
CREATE TABLE migration (version INTEGER PRIMARY KEY, time INTEGER NOT NULL, program TEXT NOT NULL) STRICT;

CREATE INDEX conflict_time ON conflict (time, first_time);
CREATE INDEX conflict_port ON conflict (port, time);
CREATE INDEX conflict_victim ON conflict (victim, port, time, first_time, count);
CREATE INDEX conflict_culprit ON conflict (culprit, port, time, first_time, count);
CREATE INDEX conflict_cause ON conflict (cause, port, time, first_time, count);
CREATE INDEX conflict_victim_pid ON conflict (victim_pid);
CREATE INDEX holder_program ON holder (program, conflict);
CREATE INDEX holder_pid ON holder (pid, conflict);

-- For people: SELECT * FROM report LIMIT 20;
CREATE VIEW report AS
SELECT datetime(c.time / 1000000000, 'unixepoch', 'localtime') AS last,
       datetime(c.first_time / 1000000000, 'unixepoch', 'localtime') AS first,
       c.count AS refusals,
       v.label || '[' || c.victim_pid || ']' AS victim,
       c.operation, c.protocol, c.address, c.port, c.cause,
       h.label || coalesce('[' || c.culprit_pid || ']', '') AS culprit,
       c.id
FROM conflict AS c
JOIN program AS v ON v.number = c.victim
JOIN program AS h ON h.number = c.culprit
ORDER BY c.time DESC;
";
