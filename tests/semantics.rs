//! What `docs/semantics.md` promises of the mount: every sentence has a test, here or in the other tests of the mount.

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::XattrFlags;
use support::mounted::{Mount, Stage, errno, identity, names, run_quietly, within};
use support::noise;

/// The sentences of section 3, in their order, each with the test that shows it.
const PROMISES: &[(&str, &str)] = &[
    (
        "`at/` lists the days of all snapshots, `ids/` the first twelve digits of every id, `diff/` nothing; all take any \
         name that can be understood.",
        "listings_of_at_ids_and_diff",
    ),
    ("`A` and `B` are named as on the command line.", "differences_are_shown_as_files"),
    (
        "Everything is read-only: every call that would write gives EROFS.",
        "every_write_like_call_gives_erofs_to_root_and_to_owners",
    ),
    ("Inside a snapshot nothing ever changes.", "a_snapshot_stays_while_its_source_changes"),
    (
        "New snapshots appear, and forgotten ones disappear, within a second, without remounting.",
        "a_new_snapshot_is_everywhere_within_a_second_and_a_forgotten_one_nowhere",
    ),
    (
        "Files that are open in a snapshot when it is forgotten give errors from then on.",
        "files_of_a_forgotten_snapshot_give_errors",
    ),
    (
        "Every field of `stat` is as ingested but: `st_ino` and `st_dev`; `st_nlink` of directories, which counts their \
         subdirectories; `st_size` of directories (4096); `st_blocks`, which counts data without holes; access and change \
         time, which equal the modification time.",
        "fields_of_stat_that_are_not_as_ingested",
    ),
    (
        "A file's `st_nlink` is that of the source, even where some of its names are not in the snapshot.",
        "names_outside_of_the_snapshot_count",
    ),
    ("Names of one file in a snapshot share an inode number.", "hard_links_are_one_inode_and_count_their_names"),
    (
        "Directories that are in no snapshot have the time at which the newest one began; its fraction of a second counts the \
         catalog's records.",
        "directories_in_no_snapshot_have_a_time_for_each_record",
    ),
    ("Below `at/<time>` it is the present one.", "directories_in_no_snapshot_have_a_time_for_each_record"),
    (
        "Inode numbers are the same after a remount, in every mount of the repository, but for directories in `diff/`.",
        "a_remount_tells_the_same_of_every_entry_and_inode_numbers_too",
    ),
    (
        "SEEK_HOLE and SEEK_DATA find the holes that the source had.",
        "seeking_data_and_holes_from_any_offset_answers_as_the_source_does",
    ),
    ("Extended attributes and ACLs are as ingested.", "getfattr_and_getfacl_dump_the_same"),
    (
        "Where a snapshot has none at all, asking gives EOPNOTSUPP.",
        "facts_of_a_snapshot_are_attributes_of_its_root_that_no_listing_shows",
    ),
    (
        "ACLs are enforced for other users with `--allow-other`.",
        "with_allow_other_modes_owners_and_acls_decide_who_may_read",
    ),
    (
        "Facts of a snapshot are attributes of its root that are not listed, so that copies do not take them along: \
         `getfattr -n user.yesterfs.id`, and `source`, `name`, `time`, `finished`, `status`, `kind`, `host`, `user`, \
         `origin`, `parent`, `files`, `entries`, `bytes`, `problems`, `tags`, `repository`, and whatever further facts the \
         snapshot has.",
        "every_fact_is_told_and_no_copy_takes_it_along",
    ),
    (
        "An attribute that the source had by such a name comes first.",
        "attributes_of_the_source_are_shown_even_where_a_fact_has_their_name",
    ),
    (
        "In a snapshot of a dump, `getfattr -n user.yesterfs.rows` of a table, a file or a directory tells how many rows of \
         the dump, or documents, are in it, and `user.yesterfs.bytes` how many bytes of the dump.",
        "a_dba_restores_one_table_from_the_mount",
    ),
    (
        "`getfattr -n user.yesterfs.requests` of the mount's root tells how often the kernel asked for what since the mount \
         began, how many small files were pushed to it unasked, and how many calls of the storage, records read, chunks \
         decoded and lookups in the index that took.",
        "tar_of_small_files_asks_for_no_more_than_their_bytes_and_for_those_once",
    ),
    (
        "`statfs` shows the logical bytes and the entries of all snapshots as used, the free space and the free inodes of \
         the repository's place as free.",
        "statfs_tells_the_logical_size_of_all_snapshots_and_the_space_left_where_the_repository_is",
    ),
    (
        "Damaged data is EIO on exactly the range that it touches, and is logged with chunk and pack.",
        "a_flipped_byte_in_a_pack_is_eio_on_that_chunk_and_nothing_else",
    ),
    (
        "It is never short data, and never \"not found\".",
        "a_damaged_directory_page_is_eio_and_never_an_empty_directory",
    ),
    ("Without root, the mount is its user's own.", "an_ordinary_user_mounts_through_fusermount3"),
    (
        "With `--allow-other`, other users see what stored owners, modes and ACLs let them see.",
        "with_allow_other_modes_owners_and_acls_decide_who_may_read",
    ),
    ("SIGTERM, SIGINT and SIGHUP unmount.", "signals_unmount"),
    (
        "`yesterfs umount` detaches a mount that is in use, and says so.",
        "a_busy_mount_is_unmounted_lazily_and_still_serves_whoever_has_it_open",
    ),
    (
        "A mount whose process was killed gives ENOTCONN, never an empty directory.",
        "a_killed_daemon_leaves_an_error_and_never_an_empty_directory",
    ),
    (
        "A mount over or inside its own repository is refused.",
        "mount_points_that_cannot_be_used_are_refused_with_the_reason",
    ),
    ("Memory does not grow with what is visited.", "memory_stays_bounded_whatever_is_visited"),
    (
        "`diff/A..B` shows exactly what `yesterfs diff A B` prints (section 4), and the directories that lead there: `added` \
         holds what only B has, `removed` what only A has, `changed` what both have but not the same, as B has it.",
        "a_mounted_difference_shows_what_diff_prints",
    ),
    ("An entry of another type is both added and removed.", "what_differs_is_sorted_into_added_removed_and_changed"),
    (
        "Directories have the metadata that they have in the snapshot shown; one that neither differs itself nor leads to \
         anything is not there.",
        "what_differs_is_sorted_into_added_removed_and_changed",
    ),
    ("The compared directories themselves have no entry.", "random_trees_are_shown_as_they_are_printed"),
    (
        "What cannot be compared because of damage is shown, and logged: it may differ.",
        "what_cannot_be_compared_is_shown_and_the_rest_stays_right",
    ),
    (
        "Files have the inode numbers of their snapshot, directories have numbers of their own until the mount ends.",
        "random_trees_are_shown_as_they_are_printed",
    ),
    (
        "After thousands of other pairs were looked at, a directory that somebody still has open answers ESTALE; by its \
         path it is found again.",
        "a_difference_left_behind_is_found_again_by_its_path",
    ),
    (
        "`diff/A..B/rows` is there where both are dumps of MySQL or MariaDB, both of PostgreSQL, or both of MongoDB.",
        "only_dumps_have_rows",
    ),
    (
        "Its files are `DATABASE/TABLE.sql`, of PostgreSQL `DATABASE/SCHEMA/TABLE.sql`, and of MongoDB \
         `DATABASE/COLLECTION.json`, with a line for each document that differs, as `diff --rows --json` prints it.",
        "documents_that_differ_are_lines_of_json",
    ),
    ("It lists the tables that differ, and computes nothing for that.", "listing_computes_nothing"),
    (
        "A file in it has a size of 0 until it is read for the first time: then the statements are written, into a file \
         without a name in the system's directory for temporary files, and its size is known.",
        "a_patch_is_read_as_a_file",
    ),
    (
        "`--patch-dir` names another directory, `--patch-memory` tells how much memory the rows that differ may take while \
         a patch is written, and `--patches` how many are kept.",
        "what_patches_take_is_told_by_flags",
    ),
    (
        "Where they cannot be written, reading fails, and the log says why.",
        "a_patch_that_cannot_be_written_fails_and_the_log_says_why",
    ),
    (
        "A collection that was exported as CSV is `DATABASE/COLLECTION.csv.json`.",
        "records_that_differ_are_lines_of_json_in_the_mount",
    ),
    (
        "One that was exported as JSON and has a name that would make it that, such as `orders.csv`, has `.json` twice.",
        "records_that_differ_are_lines_of_json_in_the_mount",
    ),
];

/// The sentences of section 10, likewise.
const PROMISES_OF_DUMPS: &[(&str, &str)] = &[
    (
        "`yesterfs ingest mysql` makes this of what `mysqldump` or `mariadb-dump` printed or wrote with `--tab`, and of what `mydumper` or MySQL Shell wrote:",
        "a_dump_becomes_directories",
    ),
    ("`dump.sql` is what came in, byte for byte.", "every_table_of_every_variant_restores_into_another_database"),
    (
        "The parts, in the order of `_meta/parts`, are the dump, whatever it holds and wherever it ends.",
        "parts_do_not_depend_on_pieces_and_leave_nothing_out",
    ),
    ("What is not understood belongs to the part before it.", "statements_go_to_what_they_make"),
    (
        "`restore.sql` loads a table, its rows and its triggers into whatever database is present: it holds the \
         settings of the dump's session and the parts of the table, and nothing that names the database, the binary log \
         or replication.",
        "every_table_of_every_variant_restores_into_another_database",
    ),
    (
        "Its first comment names the tables and the sequences that the table refers to, the functions and procedures that \
         its triggers call, functions without a database in front where the dump has them, and the tables that these write \
         or read.",
        "a_dump_becomes_directories",
    ),
    ("A name that may be that of a table or a variable is told.", "tables_of_a_trigger_are_found"),
    (
        "With `--restore-without-definer` the triggers in it have no DEFINER: whoever loads it becomes that.",
        "restores_leave_out_definers_where_that_is_asked_for",
    ),
    ("`triggers.sql` stays as dumped.", "restores_leave_out_definers_where_that_is_asked_for"),
    (
        "In names of files, `/`, `%`, control characters and a leading dot become `%` and two hexadecimal digits.",
        "a_dump_becomes_directories",
    ),
    (
        "A name that is too long for a file ends with `%~` and the start of its hash.",
        "long_names_stay_different_and_whole_characters",
    ),
    (
        "What a dump names no database for is in the one that `--database` names, else the one in the dump's first \
         lines, else one named as its file or stream without suffixes, else one named as the source.",
        "a_dump_that_names_no_database_gets_one",
    ),
    (
        "A dump that gzip, zstd, bzip2, xz or lz4 compressed is unwrapped, be it a file, standard input or what a command \
         prints: `dump.sql` is what was compressed, also where several compressed files follow one another.",
        "what_real_compressors_made_is_stored_plain",
    ),
    ("Its first bytes tell, not its name.", "what_real_compressors_made_is_stored_plain"),
    ("Compressed data that ends early is an incomplete dump.", "compressed_data_that_is_cut_off_is_an_incomplete_dump"),
    (
        "Anything else behind it, a checksum that does not match, and more plain bytes than `--max-unwrapped` allows \
         (by default 200 times the compressed ones, and 256 MiB in any case) are errors.",
        "what_cannot_be_unwrapped_is_refused",
    ),
    (
        "Of a compressed dump is kept besides, by `--original`: `rebuild`, what makes the very same file again \
         (`_original/NAME.recipe`), which was proven before the snapshot exists; where that saves less than half, as \
         of zstd from level 16 on, the file (`_original/NAME`); of bzip2, xz and lz4 nothing.",
        "what_is_kept_of_the_compressed_file_can_be_chosen",
    ),
    ("`keep`: always the file.", "what_is_kept_of_the_compressed_file_can_be_chosen"),
    ("`drop`: neither.", "what_is_kept_of_the_compressed_file_can_be_chosen"),
    (
        "NAME is that of the file, else `dump.sql.gz` or what it is.",
        "what_is_kept_of_the_compressed_file_can_be_chosen",
    ),
    (
        "What makes a file of gzip or zstd again needs neither program nor any version of them: it is told how its bytes differ \
         from what this program predicts.",
        "files_of_zstd_come_back_and_are_stored_once",
    ),
    (
        "`yesterfs rebuild SNAP [NAME]` writes that file, and compares it with the hash of what came: where it ends \
         with 0, it is the same.",
        "the_compressed_file_comes_back_byte_for_byte",
    ),
    (
        "Without NAME it is the file that came; where several came, the error names them.",
        "a_compressed_directory_becomes_a_plain_one",
    ),
    (
        "Standard output has had bytes before that is known; with `--output`, a file that failed is removed.",
        "a_compressed_file_is_written_from_the_command_line",
    ),
    (
        "Several dumps make one snapshot: several files, a directory (its `*.sql`, `*.sql.gz`, `*.sql.zst` and so on in \
         order of names), several `--stream NAME=COMMAND`, which run as those of `ingest stream` but one after the other, \
         or dumps appended to one another.",
        "directories_files_and_streams_are_named_on_the_command_line",
    ),
    ("`dump.sql` is then all of them, in that order.", "several_dumps_make_one_snapshot"),
    (
        "It is complete only if each is; each of appended ones ends with its last line before the next one's first.",
        "one_incomplete_dump_makes_all_of_them_incomplete",
    ),
    ("Each table has the settings of its own dump.", "appended_dumps_make_one_snapshot"),
    (
        "A fact that differs between inputs is no fact of the snapshot; `coordinates.json` is a list then.",
        "several_dumps_make_one_snapshot",
    ),
    (
        "Where `--dump-slave` made a dump, its coordinates are those of the primary, and told as that.",
        "a_dump_of_a_replica_tells_where_its_primary_stood",
    ),
    (
        "With `--master-data` besides, they are the dumped server's own.",
        "a_dump_of_a_replica_tells_where_its_primary_stood",
    ),
    ("A database that two of them dump is an error, which names both.", "a_database_in_two_dumps_is_refused"),
    ("That one dump comes back to a database, for its views, is none.", "a_database_in_two_dumps_is_refused"),
    (
        "How a dump is written is told by its beginning, and of a directory by what is in it, or by `--format` (`sql`, `xml`, `tab`, `mydumper`, `shell`): what is something else is refused then, and a directory that could be several is that one, with `sql` and `xml` one of dumps.",
        "a_directory_that_could_be_several_is_what_it_was_told_to_be",
    ),
    (
        "A directory that `mydumper` wrote makes a snapshot by itself.",
        "a_directory_of_mydumper_is_no_directory_of_dumps",
    ),
    (
        "`dump.sql` is its files in the order in which they load, with what else a client needs between them: titles, USE, \
         DELIMITER where statements hold others, and what `myloader` sets for its sessions.",
        "what_was_dumped_loads_again_whole_and_table_by_table",
    ),
    (
        "So it loads with any client, as each `restore.sql` does.",
        "what_was_dumped_loads_again_whole_and_table_by_table",
    ),
    (
        "`_original/` has every file of the directory byte for byte, compressed ones as `--original` says; the others take no \
         room of their own.",
        "a_directory_becomes_the_tree_of_a_dump",
    ),
    (
        "Names of databases and tables come from statements, not from the names of files.",
        "newer_versions_name_their_files_otherwise_and_tell_how_many_rows_there_are",
    ),
    (
        "Such a dump is complete where `metadata` is there and `metadata.partial` is not, every file ends with a statement, \
         every file that is to make something does, and each table has as many rows as `metadata` tells of.",
        "a_dump_that_did_not_come_to_its_end_is_refused",
    ),
    (
        "Where that tells of none, as that of version 0.10 does, nothing shows that no file is missing: such a dump is unverified \
         at best.",
        "a_directory_becomes_the_tree_of_a_dump",
    ),
    ("Its coordinates are those in `metadata`.", "a_directory_becomes_the_tree_of_a_dump"),
    (
        "Directories with files for LOAD DATA (`*.dat`) are refused.",
        "newer_versions_name_their_files_otherwise_and_tell_how_many_rows_there_are",
    ),
    (
        "Of a directory that `--tab` filled (a `*.sql` and a `*.txt` for each table), `dump.sql` is what would be printed without it: one header, each table with its rows as `INSERT`, its triggers behind them, then views, each behind those that it needs.",
        "files_of_rows_of_every_form_load_again",
    ),
    (
        "Other `*.sql` in it, such as routines and sequences, which `--tab` prints, come first.",
        "files_of_rows_of_every_form_load_again",
    ),
    (
        "`_original/` has every file of it byte for byte; compressed ones are kept as they came, unless `--original drop` keeps none.",
        "files_of_rows_may_be_compressed",
    ),
    (
        "A directory with such ones in it, one for each database, makes one snapshot of all.",
        "a_directory_for_each_database_makes_one_snapshot",
    ),
    (
        "How its rows are written tell `--fields-terminated-by`, `--fields-enclosed-by`, `--fields-escaped-by` and `--lines-terminated-by`, as they were told to the dump.",
        "the_form_of_rows_is_told_as_it_was_told_to_the_dump",
    ),
    (
        "Text that is not in UTF-8 is written with the bytes that its column has.",
        "files_of_rows_of_every_form_load_again",
    ),
    ("Bits are read by their length, since no server escapes them.", "files_of_rows_of_every_form_load_again"),
    (
        "Such a dump is unverified: each `*.sql` has its last line, and each `*.txt` ends with a row, but nothing tells that no file is missing.",
        "a_directory_of_rows_becomes_the_tree_of_a_dump",
    ),
    (
        "It is incomplete where that is not so, where a row has another number of values than the first or than the table has columns, and where files tell different character sets or time zones.",
        "a_directory_that_is_not_whole_makes_no_snapshot_unless_it_is_to_be_kept",
    ),
    (
        "Of a directory that MySQL Shell filled (`util.dumpInstance`, `dumpSchemas`, `dumpTables`), `dump.sql` is what `mysqldump` would print: each database with its routines and events, each table with its rows as `INSERT` and its triggers, then the views of all databases, at last users.",
        "a_directory_of_mysql_shell_becomes_the_tree_of_a_dump",
    ),
    (
        "What is written in base64 or hexadecimal digits there stands in it as bytes.",
        "a_directory_of_mysql_shell_becomes_the_tree_of_a_dump",
    ),
    (
        "`_original/` has every file of it as it came, compressed ones too, unless `--original drop` keeps none.",
        "a_directory_of_mysql_shell_becomes_the_tree_of_a_dump",
    ),
    (
        "It is complete where `@.done.json` is there, and every file that the manifests tell of: each table has files of rows up to the one that says that it is the last, each ends with a row, and has as many bytes of rows as `@.done.json` and its `.idx` tell, if they do.",
        "rows_of_which_some_are_lost_make_no_snapshot",
    ),
    ("No rows are told of that belong to no table.", "a_directory_in_which_anything_is_missing_makes_no_snapshot"),
    (
        "Coordinates and server version are those in `@.json`; the position and the GTIDs only if it says that all is of one moment.",
        "a_directory_of_mysql_shell_becomes_the_tree_of_a_dump",
    ),
    ("A dump in XML (`--xml`) is taken too, as `dump.xml`.", "xml_becomes_the_tree_of_a_dump"),
    (
        "Its parts make the same tree, with files that end with `.xml`: `tables/NAME/schema.xml`, `data.xml` and `triggers.xml`.",
        "xml_becomes_the_tree_of_a_dump",
    ),
    ("Views are among tables, for it does not tell what makes them.", "xml_becomes_the_tree_of_a_dump"),
    (
        "It is complete where it ends with `</mysqldump>`.",
        "xml_without_its_last_tag_makes_no_snapshot_unless_it_is_to_be_kept",
    ),
    ("It makes no snapshot together with dumps as SQL.", "xml_and_sql_make_no_snapshot_together_and_no_rows"),
    (
        "There is no `restore.sql`, its rows are neither compared nor found, and `restore --into` refuses it.",
        "xml_and_sql_make_no_snapshot_together_and_no_rows",
    ),
    (
        "A dump that ends within a statement or without its last line, and one whose command failed, makes no snapshot.",
        "an_incomplete_dump_makes_no_snapshot_unless_it_is_to_be_kept",
    ),
    (
        "With `--keep-incomplete` it makes one that neither `latest` nor `~` nor a time ever means.",
        "an_incomplete_dump_makes_no_snapshot_unless_it_is_to_be_kept",
    ),
    (
        "In sjis, cp932, gbk, gb18030 and big5 a letter may hold a backslash or a backtick; where a dump says that it, or what it \
         makes, is in one of these, whole letters are read.",
        "dumps_of_mysql_in_letters_of_two_bytes_are_read_and_patched",
    ),
    (
        "Who gives such a dump, a `restore.sql` or a patch to a client by hand tells it that set (`--default-character-set=sjis`), \
         as `restore --into` does.",
        "dumps_of_mysql_in_letters_of_two_bytes_come_back",
    ),
    ("Of several dumps it tells each client the set of its own.", "each_of_several_dumps_is_loaded_in_its_own_set"),
    (
        "Names are shown in UTF-8, in whichever sets a dump has them: one that is not in UTF-8 has those of a table in two.",
        "a_name_of_mysql_is_the_same_wherever_a_dump_has_it",
    ),
    (
        "Names in swe7, johab, euc_tw and mule_internal, and in a set that a dump does not tell, as a compact one, stay the bytes \
         that they are.",
        "names_in_sets_that_are_not_known_stay_as_they_are",
    ),
    (
        "`--as` takes no name with letters that the set of the dump does not have.",
        "a_dump_of_mysql_with_names_in_its_set_is_patched_and_comes_back",
    ),
    (
        "Where a dump of MySQL has its views' names in another set than UTF-8, no server takes what stands for one unless its name \
         is ASCII: that is in two sets at once.",
        "what_stands_for_a_view_is_in_two_sets_at_once",
    ),
    ("Clients take all of a text to be in one set.", "dumps_of_mysql_in_letters_of_two_bytes_come_back"),
    (
        "Where such a dump has names or triggers in another one, as `CREATE TABLE` in UTF-8 has, a client may refuse a statement of \
         it; so it does without yesterfs.",
        "dumps_of_mysql_in_letters_of_two_bytes_come_back",
    ),
    (
        "A dump without comments is complete where it ends with what sets the session back.",
        "dumps_without_comments_are_as_complete_as_can_be_told",
    ),
    (
        "A compact dump is complete if it comes from a command that ended well, else unverified.",
        "dumps_without_comments_are_as_complete_as_can_be_told",
    ),
    (
        "It is incomplete where it ends before what belongs behind a table: what sets back a setting that was saved, or unlocks it.",
        "what_is_cut_between_statements_shows_by_what_was_to_follow",
    ),
    (
        "How a pipeline ends tells only of its last program, but for that of a shell with `pipefail`: a compact dump from it is \
         unverified.",
        "dumps_without_comments_are_as_complete_as_can_be_told",
    ),
    (
        "Coordinates, server version, character set, and how many tables and rows there are, are facts of the snapshot.",
        "a_dump_becomes_directories",
    ),
    (
        "Another fact, `row_marks`, tells by which bytes a row can be found without reading all before it.",
        "rows_show_unless_strings_look_like_them",
    ),
    (
        "Files and directories that are as they were in the snapshot before keep their times.",
        "a_changed_dump_costs_what_changed",
    ),
    ("Only the user who ran the ingest may read them.", "a_dump_becomes_directories"),
    (
        "`restore --into` gives a dump, or with `--table` the `restore.sql` of tables, to the client program that is \
         installed.",
        "a_whole_dump_comes_back_into_another_server",
    ),
    (
        "Of a whole dump of MySQL several clients (`--threads`) load rows of different tables, once all tables are made \
         and before triggers, routines, events, views and what else is behind them; one client alone loads dumps that \
         check foreign keys meanwhile.",
        "several_clients_load_the_rows_of_one_dump",
    ),
    (
        "What of a dump would change from where the server replicates, or what it logs (`CHANGE MASTER`, `START REPLICA`, \
         `GTID_PURGED`, `gtid_slave_pos`, `SQL_LOG_BIN`), is left out and told; who makes a replica pipes `dump.sql` into a \
         client.",
        "what_a_server_replicates_and_logs_stays_as_it_is",
    ),
    (
        "A `SET` that sets something else too is loaded as it is, and told.",
        "what_a_server_replicates_and_logs_stays_as_it_is",
    ),
    (
        "It replaces nothing that the server has, unless `--overwrite` says so: it looks before it changes anything.",
        "a_whole_dump_comes_back_into_another_server",
    ),
    (
        "So it is with tables, views, sequences, routines and events, and with a database that the dump drops before it makes it.",
        "what_only_the_server_has_is_not_dropped_and_what_both_have_is_not_replaced",
    ),
    (
        "What is of another kind under the same name, such as a view where the dump has a table, is refused in any case.",
        "what_is_of_another_kind_stops_a_load_into_mariadb",
    ),
    (
        "Definers that the user may not name are told before anything is changed, and so are those that the server does not have.",
        "definers_that_a_user_of_mariadb_may_not_name_are_told_before_anything_is_made",
    ),
    (
        "`--without-definer` leaves all of them out: whoever loads the dump becomes that.",
        "definers_that_a_user_of_mariadb_may_not_name_are_told_before_anything_is_made",
    ),
    (
        "Triggers and functions that the server refuses a user without SUPER, because it has a binary log, are told before anything is changed too.",
        "triggers_and_functions_that_a_binary_log_forbids_are_told_before_anything_is_changed",
    ),
    (
        "What the dump names no database for goes into the one in the URL, else into the one of the snapshot, and so do tables.",
        "a_dump_without_a_database_goes_where_it_is_told",
    ),
    (
        "A whole dump that names its databases goes there, and a URL with another one is refused; `postgres` may stand in it, from \
         which `psql` begins.",
        "a_whole_dump_comes_back_into_a_new_database",
    ),
    (
        "Of several dumps that do not name their databases each goes into the one of its name in the snapshot.",
        "each_dump_of_mariadb_goes_into_the_database_of_its_name",
    ),
    (
        "A URL with a database is refused then, since all would go into that.",
        "several_dumps_that_name_no_database_are_not_poured_into_one",
    ),
    (
        "Each is given to a client of its own, one after the other, and one that fails is told with its database.",
        "several_dumps_that_name_no_database_are_not_poured_into_one",
    ),
    (
        "Those of PostgreSQL that make nothing but roles and tablespaces come first.",
        "each_dump_of_postgresql_goes_into_the_database_of_its_name",
    ),
    (
        "A database that is made because a dump does not make it has the server's own character set and collation; one of PostgreSQL is made from `template0`, as `pg_restore` does it.",
        "each_dump_of_postgresql_goes_into_the_database_of_its_name",
    ),
    (
        "A missing database is made; `--as` gives a table of MySQL another name, and its constraints and triggers names \
         that begin with it.",
        "one_table_comes_back_under_another_name",
    ),
    (
        "Tables of PostgreSQL that go into one database are loaded all or not at all, whatever their order; foreign keys come last.",
        "tables_that_refer_to_one_another_come_back_together_or_not_at_all",
    ),
    (
        "One that is partitioned comes with all its parts, and has no other name then.",
        "a_partitioned_table_comes_back_with_its_partitions",
    ),
    (
        "`--as DATABASE.SCHEMA.TABLE` gives it another schema, which is made where it is missing, or another name, beside \
         the table itself if need be; a name with dots in it is put in double quotes.",
        "a_table_of_postgresql_comes_back_beside_itself",
    ),
    (
        "Its indexes, the constraints that make indexes, its sequences and its statistics get names that begin with the \
         new one then, for a schema can have each name but once.",
        "a_table_of_postgresql_comes_back_beside_itself",
    ),
    (
        "Strings, rows and bodies of functions stay as they are, but for those strings that stand for the table or a \
         sequence.",
        "a_table_of_postgresql_comes_back_beside_itself",
    ),
    (
        "A load that fails tells the client's error and the statement; what came before that statement is loaded, and \
         what other clients were given meanwhile.",
        "a_load_that_fails_says_where",
    ),
    (
        "No password is taken from a command line, and the client gets no files of its machine for the server, and no \
         commands.",
        "a_load_that_fails_says_where",
    ),
    (
        "At a line in a dump of PostgreSQL that is a command to `psql`, but for those that dumps have, the load ends before it.",
        "no_command_in_a_dump_reaches_the_client",
    ),
    (
        "So it does before a NUL, before what follows a `COPY` in its line, and before a string marked with E that goes on in another \
         line: `psql` would read the lines around them in another way.",
        "no_command_in_a_dump_reaches_the_client",
    ),
    (
        "It ends too where nobody can know how `psql` reads a string: at a backslash before a quote where `standard_conforming_strings` \
         may be off, and behind a letter where the character set may be another.",
        "what_sets_how_strings_are_read_is_not_overlooked",
    ),
    (
        "Within statements `psql` refuses commands itself: it is told `\\restrict` with a key of the load's own.",
        "no_command_within_a_statement_is_run_either",
    ),
    ("One that has no `\\restrict` would run them, and that is told.", "no_command_within_a_statement_is_run_either"),
    (
        "Passwords, and what the URL leaves out, come from the client's own files and environment.",
        "settings_of_the_user_count_where_the_url_says_nothing",
    ),
    (
        "Where the URL tells the server, nothing else does: `MYSQL_HOST` and option files count less than a socket in it, and \
         `PGHOSTADDR` and `PGSERVICE` less than a host or a service.",
        "settings_of_the_user_count_where_the_url_says_nothing",
    ),
    (
        "What `PGOPTIONS`, `PGDATABASE`, `PGCLIENTENCODING`, `PGDATESTYLE`, `PGTZ` and `PGGEQO` say does not reach `psql`; \
         `options` in the URL do.",
        "settings_of_the_user_alter_no_session",
    ),
];

/// Those of section 11.
const PROMISES_OF_POSTGRES: &[(&str, &str)] = &[
    (
        "`yesterfs ingest postgres` makes this of what `pg_dump` or `pg_dumpall` printed as text, or `pg_dump` wrote for `pg_restore`:",
        "a_dump_becomes_directories",
    ),
    (
        "What section 10 says of `dump.sql`, parts, names of files, incomplete dumps, letters, facts, times and permissions \
         holds here too.",
        "a_dump_is_the_same_in_whatever_pieces_it_comes_and_has_parts_wherever_it_ends",
    ),
    (
        "Names come from statements, not from the comments above them.",
        "what_looks_like_a_part_in_a_string_or_a_name_is_none",
    ),
    ("Functions are named with their arguments, without default values.", "a_dump_becomes_directories"),
    ("Comments, privileges and owners of an object are in its file.", "a_dump_becomes_directories"),
    (
        "Those of a table are in `post.sql`, with its constraints, indexes, triggers, rules, policies and statistics.",
        "statements_go_to_what_they_are_about",
    ),
    (
        "`attach.sql` makes a table a part of a partitioned one.",
        "every_table_of_every_variant_restores_into_another_database",
    ),
    (
        "Of a whole dump several clients (`--threads`), where `psql` has `\\restrict`, load rows of different tables, before \
         indexes, constraints and triggers are made.",
        "several_clients_load_the_rows_of_one_dump",
    ),
    (
        "Of a dump of a whole server, roles and tablespaces that the server has are neither made nor altered, \
         which is told; its databases must not be there.",
        "a_clean_dump_of_all_databases_comes_back_over_a_server",
    ),
    (
        "`postgres` and `template1` stay, also where the dump drops them: it adds to them.",
        "a_clean_dump_of_all_databases_comes_back_over_a_server",
    ),
    (
        "Roles that a dump or a table names and the server does not have are told before anything is changed, and \
         so are owners that the user may not act for.",
        "whoever_is_no_superuser_of_a_postgres_is_told_so_before_anything_is_made",
    ),
    (
        "`--no-owner` leaves owners out, `--no-privileges` what is granted and revoked, but for who is in which \
         role; the snapshot has them.",
        "roles_that_a_postgres_lacks_are_told_before_anything_is_made",
    ),
    (
        "No table, view, sequence, type or function is replaced, and all are looked for before anything is \
         changed; what a dump of `--clean` drops is left out.",
        "each_that_a_clean_dump_would_replace_in_postgres_is_told",
    ),
    (
        "With `--overwrite` it is dropped, as far as it is there: all of it or nothing, in each database, before \
         anything is made.",
        "a_clean_dump_replaces_in_postgres_only_what_it_is_told_to",
    ),
    (
        "A database that the dump drops goes with all that is in it.",
        "a_clean_dump_of_all_databases_comes_back_over_a_server",
    ),
    ("A dump without `--clean` is refused then.", "a_whole_dump_comes_back_into_a_new_database"),
    (
        "What is of another kind under the same name is refused in any case.",
        "what_is_of_another_kind_stops_a_load_of_a_table_into_postgres",
    ),
    (
        "Where rows refer to some that are gone, the load of the table fails with its foreign key, and nothing of \
         it is loaded.",
        "a_table_whose_rows_refer_to_some_that_are_gone_is_told_how_to_come_back",
    ),
    (
        "`restore.sql` loads a table into whatever database is present: the parts of the table and of the sequences that \
         its columns own, in the order of the dump, each with the settings that were in force there.",
        "every_table_of_every_variant_restores_into_another_database",
    ),
    ("It makes the table's schema if that is missing.", "every_table_of_every_variant_restores_into_another_database"),
    ("It does not make the table a part of another one.", "a_dump_becomes_directories"),
    (
        "Its first comment names the tables, sequences, functions, types and collations that the table needs, and the roles \
         that own it or are granted something.",
        "a_dump_becomes_directories",
    ),
    (
        "Rows that `--load-via-partition-root` loads by way of a partitioned table are that table's; they load once its \
         parts are there.",
        "rows_that_come_by_way_of_a_table_load_once_its_parts_are_there",
    ),
    (
        "What comes before the first `\\connect` is of the database that `--database` names, else of one named as the \
         file, else of one named as the source.",
        "a_dump_that_names_no_database_gets_one",
    ),
    (
        "So it is of each dump where several follow one another; two that name no database are two dumps of one, which are refused.",
        "a_database_of_postgresql_in_two_appended_dumps_is_refused",
    ),
    (
        "Of what `pg_dump` writes for `pg_restore` (`-Fd`, `-Ft`, `-Fc`), `dump.sql` is the text that `pg_restore --file=-` makes of it, but for the key of `\\restrict`, and all else is made of that.",
        "an_archive_is_the_text_that_pg_restore_makes_of_it",
    ),
    (
        "`--format` (`plain`, `custom`, `tar`, `directory`) tells what a dump is, as in section 10.",
        "a_dump_of_postgresql_is_what_it_was_told_to_be_or_refused",
    ),
    ("Such an archive names its database itself.", "an_archive_is_loaded_into_a_server_again"),
    (
        "Several dumps, of any of these forms and as text, make one snapshot, as section 10 says: several files, or a directory (its `*.sql`, `*.dump`, `*.pgdump`, `*.tar` and `*.backup`, compressed or not, and the directories of `-Fd` in it).",
        "dumps_of_several_databases_in_every_form_make_one_snapshot",
    ),
    (
        "Of the second archive of tar on, `_meta` has `frame-2` and so on; the files of a second directory are below `_original/N-NAME`.",
        "dumps_of_several_databases_in_every_form_make_one_snapshot",
    ),
    (
        "`_original` has the archive, byte for byte, under the name of its file, else as `dump.tar` or `dump.custom`; of a directory, its files.",
        "an_archive_is_the_text_that_pg_restore_makes_of_it",
    ),
    (
        "Of an archive of `-Fc` that is compressed by gzip, as usual, or not at all, it has a recipe (`_original/NAME.recipe`), by which \
         `yesterfs rebuild` writes the same archive.",
        "an_archive_is_the_text_that_pg_restore_makes_of_it",
    ),
    (
        "Rows that stand in it uncompressed, in a directory or tar, are not stored twice: `_original/NAME` is put together of `dump.sql` and, for tar, of `_meta/frame`; that of tar was read again before there was a snapshot.",
        "archives_and_text_of_one_database_cost_as_much_as_one_of_them",
    ),
    (
        "Of compressed files in a directory is kept what `--original` says (section 10), and the file itself where no recipe can be made.",
        "files_of_a_directory_may_be_compressed_in_every_way",
    ),
    (
        "An archive of `-Fc` is kept as it came where `--original keep` says so, where it is compressed in another way, and where a \
         recipe would save less than half; `--original drop` keeps no archive of any form.",
        "archives_and_text_of_one_database_cost_as_much_as_one_of_them",
    ),
    ("An archive that was compressed once more is kept as it came.", "an_archive_that_was_compressed_again_is_kept_so"),
    (
        "An archive is complete if all data that its table of contents tells of is there, each to its end, and behind tar's members its last blocks.",
        "archives_that_end_anywhere_or_are_damaged_are_never_whole_and_never_lost",
    ),
    (
        "What `--keep-incomplete` keeps of one that is not has the archive as it came, and the text up to what is missing.",
        "an_archive_that_is_not_whole_makes_no_snapshot_unless_it_is_to_be_kept",
    ),
    (
        "More plain bytes in an archive of `-Fc` than `--max-unwrapped` allows are an error.",
        "more_bytes_than_may_come_out_of_an_archive_are_an_error",
    ),
    (
        "A table of contents may have 8 million entries and a gigabyte; it is held in memory.",
        "tables_of_contents_have_limits",
    ),
    (
        "A dump is complete if its last line says so, and each dump in it has its last line; where it has `\\restrict`, also \
         the `\\unrestrict` that belongs to it.",
        "the_end_shows_whether_a_dump_is_whole",
    ),
];

/// Those of section 12.
const PROMISES_OF_MONGO: &[(&str, &str)] = &[
    (
        "`yesterfs ingest mongo` makes this of what `mongodump` wrote, be it a directory or an archive, and of what `mongoexport` \
         wrote:",
        "an_archive_becomes_the_files_of_a_directory",
    ),
    (
        "The files of a directory are kept byte for byte, under the names that they have.",
        "a_directory_is_kept_as_it_is",
    ),
    (
        "The files of an archive are those that `mongodump` would have written into a directory, under the same names.",
        "an_archive_becomes_the_files_of_a_directory",
    ),
    (
        "So `mongorestore` and `bsondump` take them, from the mount and from where `restore` put them.",
        "a_dba_takes_the_dump_out_of_the_mount_and_out_of_the_repository",
    ),
    (
        "`_original/dump.archive` is what came in, byte for byte, and was read again before there was a snapshot.",
        "an_archive_becomes_the_files_of_a_directory",
    ),
    (
        "The parts, in the order of `_meta/parts`, are the archive, whatever it holds and wherever it ends.",
        "nothing_is_lost_of_a_broken_archive",
    ),
    (
        "In which order an archive has the collections does not matter for what it costs.",
        "collections_that_are_mixed_otherwise_cost_nothing",
    ),
    (
        "Files that gzip compressed are unwrapped, and lose the suffix `.gz`; so is an archive that \
         anything of section 10 compressed.",
        "a_compressed_archive_is_taken_apart",
    ),
    (
        "What came is kept besides as `--original` says (section 10): `_original/shop/orders.bson.gz.recipe`, or without `.recipe` \
         the file; of an archive `_original/dump.archive.gz.recipe` or `_original/dump.archive.gz`.",
        "a_compressed_directory_becomes_a_plain_one",
    ),
    (
        "Several archives make one snapshot, each of databases of its own: several files, a directory (its `*.archive`, compressed or not), several `--stream NAME=COMMAND`.",
        "archives_are_named_as_files_a_directory_or_streams_and_loaded_again",
    ),
    (
        "Each is `_original/NAME` then, named as its file or stream without what tells how it was compressed, and another way where that name is taken.",
        "an_archive_for_each_database_makes_one_snapshot_of_all",
    ),
    (
        "What each has around the documents is in `_meta/frame`, `frame-2` and so on; `_meta/parts` has the parts of all, one archive behind the other, and `_meta/inputs` tells where each begins, and how whole it is.",
        "an_archive_for_each_database_makes_one_snapshot_of_all",
    ),
    ("All are complete only if each is.", "one_archive_that_is_not_whole_makes_all_of_them_incomplete"),
    ("A database that two of them have is an error, which names both.", "a_database_in_two_archives_is_refused"),
    (
        "What differs between them is no fact of the snapshot; `coordinates.json` is a list then, and `prelude.json` is that of the first.",
        "what_the_real_program_wrote_goes_together_with_others",
    ),
    (
        "The first oplog among them is `oplog.bson`; that of a later archive is in `_meta`, as `oplog-2.bson` of the second.",
        "operations_of_two_archives_are_both_kept",
    ),
    (
        "Archives make no snapshot together with exports.",
        "archives_are_named_as_files_a_directory_or_streams_and_loaded_again",
    ),
    (
        "Compressed data that ends early is an incomplete dump; damage in it, and more plain bytes than `--max-unwrapped` \
         allows, are errors.",
        "a_compressed_directory_becomes_a_plain_one",
    ),
    (
        "In names of databases of an archive, `/`, `%`, control characters and a leading dot become `%` and two hexadecimal \
         digits.",
        "names_become_those_of_mongodump",
    ),
    ("A database that is named as something above has its first byte written so.", "names_become_those_of_mongodump"),
    (
        "An archive is complete where each collection that its beginning lists has its last block, whose checksum is that of \
         the documents, and nothing follows.",
        "damage_is_told_with_its_place",
    ),
    (
        "A directory is incomplete where a file of documents does not end with a document or lacks its metadata, and where \
         metadata, but for those of views, lack their documents.",
        "a_directory_that_is_not_whole_is_refused",
    ),
    (
        "Else it is complete if it comes from a command that ended well, or has an oplog, which `mongodump` writes last.",
        "what_a_command_writes_to_a_file_is_taken_from_there",
    ),
    (
        "Any other directory is unverified, since a `mongodump` that was killed may leave the same.",
        "a_directory_is_kept_as_it_is",
    ),
    (
        "A dump that is not complete, and one whose command failed, makes no snapshot.",
        "what_is_cut_anywhere_is_refused_or_kept_as_incomplete",
    ),
    ("The error tells the file or the collection, and the place.", "damage_is_told_with_its_place"),
    (
        "With `--keep-incomplete` it makes one that neither `latest` nor `~` nor a time ever means.",
        "what_is_cut_anywhere_is_refused_or_kept_as_incomplete",
    ),
    (
        "Documents are found by their lengths and end with a zero byte; nothing else in them is judged.",
        "what_is_no_document_is_told",
    ),
    (
        "A dump with an oplog is of the moment of the last operation in it, once `mongorestore --oplogReplay` has replayed \
         them; yesterfs replays none, and `restore` says so.",
        "a_dba_takes_the_dump_out_of_the_mount_and_out_of_the_repository",
    ),
    ("A dump without one is of no single moment.", "a_directory_is_kept_as_it_is"),
    (
        "How many collections and documents there are, the first and the last operation (`seconds:ordinal`), of which moment \
         the dump is, server version and program are facts of the snapshot.",
        "the_oplog_is_kept_and_tells_the_moment",
    ),
    (
        "Files and directories that are as they were in the snapshot before keep their times.",
        "an_archive_becomes_the_files_of_a_directory",
    ),
    ("Only the user who ran the ingest may read them.", "a_directory_is_kept_as_it_is"),
    (
        "At any place of an archive, at most 256 collections may have begun and not ended; `mongodump` dumps four at a time.",
        "many_collections_may_be_open_but_not_any_number",
    ),
    (
        "An archive may have two million blocks; `mongodump` begins one for each 16 MiB, and two for each collection.",
        "an_archive_of_endless_blocks_is_refused",
    ),
    (
        "An export is kept byte for byte, be it JSON (a line or several for each document, or an array) or CSV.",
        "exports_of_every_form_are_kept_as_they_are",
    ),
    (
        "Its database is the one that `--database` names, else the command's, else one named as the source.",
        "what_a_command_writes_to_a_file_is_taken_from_there",
    ),
    (
        "Its collection is the one that `--collection` names, else the command's, else one named as its file or stream without \
         suffixes, else one named as the source.",
        "databases_collections_and_forms_are_told_by_options_names_and_first_bytes",
    ),
    (
        "Whether it is JSON or CSV tells `--format`, else the command's options, else the name of its file or stream; else it is \
         JSON if it begins with a brace or a bracket.",
        "databases_collections_and_forms_are_told_by_options_names_and_first_bytes",
    ),
    (
        "`--format archive` says that all are archives; what is none is refused then, and so is, with any format, a directory of `mongodump`.",
        "a_dump_of_mongodb_is_what_it_was_told_to_be_or_refused",
    ),
    (
        "Several exports make one snapshot: several files, a directory (its `*.json` and `*.csv`, compressed or not), several \
         `--stream NAME=COMMAND`.",
        "databases_collections_and_forms_are_told_by_options_names_and_first_bytes",
    ),
    ("An array is complete where it has its end.", "an_export_is_complete_where_its_command_or_its_array_ends_well"),
    (
        "Documents on lines, and CSV, are complete if they come from a command that ended well, else unverified; also where \
         there are none.",
        "an_export_is_complete_where_its_command_or_its_array_ends_well",
    ),
    (
        "How a pipeline ends tells nothing, as with compact dumps of MySQL.",
        "dumps_without_comments_are_as_complete_as_can_be_told",
    ),
    (
        "An export is incomplete where it ends within a document, an array or a line, where something else than an object \
         stands between documents, or where a record has another number of fields than the first.",
        "an_export_is_complete_where_its_command_or_its_array_ends_well",
    ),
    ("Brackets and strings are all that is looked at in a document.", "what_is_no_export_is_told"),
    (
        "A command of `mongoexport` or `mongodump` that writes a file or a directory (`--out`, `--archive=FILE`) is run to its \
         end, and what it wrote is taken from there and stays there.",
        "what_a_command_writes_to_a_file_is_taken_from_there",
    ),
    (
        "One that changed nothing there is an error, and so is one that printed something too.",
        "what_a_command_writes_to_a_file_is_taken_from_there",
    ),
    ("An export of a collection is of no single moment.", "exports_of_every_form_are_kept_as_they_are"),
    (
        "`restore --into mongodb://...` loads a dump, or with `--table` collections, and needs no program for it.",
        "a_whole_dump_comes_back_into_another_server",
    ),
    (
        "Documents go in as they are and in their order, then indexes are made; options come along, views come last.",
        "options_of_collections_come_back_and_validators_stop_nothing",
    ),
    (
        "Documents that the validator of their collection would refuse are loaded all the same.",
        "options_of_collections_come_back_and_validators_stop_nothing",
    ),
    (
        "No collection that the server has is replaced, unless `--overwrite` says so: all are looked for before anything is \
         changed.",
        "a_whole_dump_comes_back_into_another_server",
    ),
    (
        "`--as` gives a collection another name, in that database or another one.",
        "a_collection_comes_back_beside_itself",
    ),
    (
        "A database in the URL tells which one knows the user, and is no place for collections: without a user, another one than \
         theirs is refused.",
        "a_collection_comes_back_beside_itself",
    ),
    (
        "What servers keep for themselves, users and roles among it, is not loaded with a dump, and that is said.",
        "options_of_collections_come_back_and_validators_stop_nothing",
    ),
    (
        "A load that fails tells the server's error, and the document or the index; what came before it is loaded.",
        "a_load_that_fails_says_where",
    ),
    (
        "The password comes from `MONGODB_PASSWORD`, or from the configuration file of MongoDB's programs that the URL names.",
        "passwords_come_from_files_and_the_environment",
    ),
    ("What `mongoexport` wrote is not loaded.", "operations_and_exports_are_told_of"),
];

/// Those of section 13.
const PROMISES_OF_COPIES: &[(&str, &str)] = &[
    (
        "Programs that copy the data of a server, and replicas, keep files that tell where a log stood.",
        "a_copy_of_mariadb_tells_where_its_log_stood",
    ),
    (
        "`yesterfs ingest dir` makes facts of the snapshot of what these hold:",
        "a_copy_of_mariadb_tells_where_its_log_stood",
    ),
    (
        "`mariadb_backup_` at the beginning of a name means what `xtrabackup_` means; of a replica of several primaries \
         `relay-log-NAME.info`, `master-NAME.info` and `NAME_master.info` are such files too.",
        "names_tell_which_files_tell",
    ),
    (
        "As of dumps, `coordinates_of` tells whose log it is, `server` or `primary`; `coordinates_from` tells which file told \
         it.",
        "a_copy_of_mariadb_tells_where_its_log_stood",
    ),
    (
        "Where the copied server has a log of its own, that is meant, and what is known of its primary has `primary_` before \
         it.",
        "a_replica_tells_of_its_primary_too",
    ),
    ("What was applied comes before what was fetched.", "a_replica_tells_of_its_primary_too"),
    (
        "A base backup of PostgreSQL becomes consistent by replaying the log from `wal_position`; one of a standby is \
         `primary`.",
        "a_base_backup_tells_where_replay_begins",
    ),
    (
        "Files in the ingested directory itself make facts of these names; those of directories below it have the path before \
         them, as in `monday/binlog_file`.",
        "copies_below_the_directory_are_told_by_their_paths",
    ),
    (
        "A file that does not hold what it should fails nothing: a message and the fact `coordinates_problem` say why.",
        "malformed_files_are_told_and_fail_nothing",
    ),
    ("Passwords that such files hold are in no fact.", "a_replica_tells_of_its_primary_too"),
    (
        "These files are read by every ingest, also where they did not change.",
        "copies_below_the_directory_are_told_by_their_paths",
    ),
    (
        "They are small: what is longer than 16 KiB is something else, and of 64 in the directory and 64 below it at most 64 \
         KiB of facts are kept.",
        "no_tree_makes_facts_without_end",
    ),
];

/// Those of section 14.
const PROMISES_OF_DRILLS: &[(&str, &str)] = &[
    (
        "`verify` loads all of a dump of MySQL, MariaDB, PostgreSQL or MongoDB into a server that it starts for that, dumps it again, and compares the tables of both dumps.",
        "dumps_of_a_real_mariadb_come_back_equal",
    ),
    ("The exit status is 0 only if all of them are equal.", "what_a_server_alters_is_told_row_by_row_and_recorded"),
    (
        "Rows are compared as `diff --rows` does, by their keys where they have one.",
        "rows_that_a_real_postgresql_alters_are_counted",
    ),
    (
        "Without one, a row that was altered is one that is missing and one that was added.",
        "rows_that_a_real_postgresql_alters_are_counted",
    ),
    (
        "A table that only one side has, and a column that only one side has, are differences.",
        "what_a_server_alters_is_told_row_by_row_and_recorded",
    ),
    (
        "Another definition of the same columns is none: servers of different versions write them in different ways.",
        "what_a_server_alters_is_told_row_by_row_and_recorded",
    ),
    (
        "What was found is kept with the snapshot, and shown by `snapshots` and `show`; the last drill counts.",
        "what_a_server_alters_is_told_row_by_row_and_recorded",
    ),
    (
        "A dump that the server does not take is told by the statement that failed.",
        "a_dump_that_the_server_does_not_take_is_named_by_its_statement",
    ),
    ("That is kept too, with what the server said.", "a_dump_that_the_server_does_not_take_is_named_by_its_statement"),
    ("Where a drill is interrupted, nothing is kept.", "whoever_ends_a_drill_leaves_nothing_behind"),
    (
        "Nor where a program is missing or cannot be started: that is the machine's fault, and says nothing of the dump.",
        "what_is_missing_on_the_machine_says_nothing_of_the_dump",
    ),
    ("Nor where the second dump fails, which is told as that.", "a_second_dump_that_fails_says_nothing_of_the_first"),
    (
        "The server runs in a new directory in the one for temporary files, or in `--tmp`, as nobody where root does the drill, and is reached by a socket in that directory only.",
        "whoever_ends_a_drill_leaves_nothing_behind",
    ),
    (
        "No password of the user's is used, nor any other setting, be it in the environment or in files of the home directory or the machine: of the environment, programs of the drill get `PATH` and `LD_LIBRARY_PATH`.",
        "no_setting_of_the_user_reaches_a_drill",
    ),
    (
        "Whatever happens, the server ends and the directory goes, also where `verify` itself is killed; only `--keep` leaves the directory of a drill that failed or found differences.",
        "whoever_ends_a_drill_leaves_nothing_behind",
    ),
    (
        "Who interrupts a drill does not wait for the programs that make the server's files: they end at once, with what they started.",
        "whoever_gives_up_while_a_server_is_made_waits_for_nothing",
    ),
    (
        "Its programs are where `--server-bin` says, else where the path leads, else where packages have them; what is missing is named.",
        "what_is_missing_or_wrong_is_said",
    ),
    (
        "The databases that MySQL and MariaDB have of their own are loaded, but not compared.",
        "dumps_of_a_real_mariadb_come_back_equal",
    ),
    ("A dump that has no tables, or no database at all, is equal.", "dumps_without_tables_come_back_equal"),
    (
        "Tables of MySQL and MariaDB of which a dump does not tell the character set (`--skip-opt`, `--compatible`) are made in utf8mb4.",
        "dumps_of_a_real_mariadb_come_back_equal",
    ),
    (
        "Of several dumps of MySQL and MariaDB each database is dumped again in the character set of its own dump.",
        "each_of_several_dumps_is_loaded_in_its_own_set",
    ),
    (
        "A table whose rows `mariadb-dump --dump-history` dumped with those that it had before is compared with these, too.",
        "rows_that_were_dumped_with_their_history_come_back_with_it",
    ),
    (
        "Without them, a table that shows the times of its rows (`GENERATED ALWAYS AS ROW START`) comes back different: a server makes these anew.",
        "rows_that_were_dumped_with_their_history_come_back_with_it",
    ),
    (
        "A dump of users (`--system=users`) needs `--insert-ignore`: no server takes users that it has, and a new one has some.",
        "users_come_back_where_those_that_are_there_are_spared",
    ),
    (
        "Users and roles that define views, routines, triggers or events of a dump of MySQL or MariaDB, and that it does not make, are made for the drill, as users who may do everything.",
        "users_who_define_objects_are_made_for_the_drill",
    ),
    ("`restore --into` makes none.", "users_who_define_objects_are_made_for_the_drill"),
    (
        "Roles and tablespaces that a dump of PostgreSQL needs and does not make are made for the drill.",
        "dumps_of_a_real_postgresql_come_back_equal",
    ),
    (
        "All tablespaces are in the drill's own directory, whatever place the dump gives them, which is not touched.",
        "tablespaces_of_a_real_postgresql_get_directories_of_the_drill",
    ),
    (
        "Of MongoDB the documents are compared, byte for byte, by their `_id`; of a time series those of its buckets.",
        "documents_that_a_server_alters_are_counted",
    ),
    (
        "Views, options and indexes are made, so that the server must take them, but not compared.",
        "dumps_of_mongodb_come_back_equal",
    ),
    ("A server that gives nothing back has lost everything.", "a_server_that_gives_nothing_back_has_lost_everything"),
    (
        "What a server keeps for itself, `restore` does not load, nor does the drill compare it.",
        "dumps_of_mongodb_come_back_equal",
    ),
    ("Operations in `oplog.bson` are not replayed.", "dumps_of_mongodb_come_back_equal"),
];

#[test]
fn every_sentence_about_the_mount_has_a_test() {
    assert_promised("## 3. The mount", PROMISES);
}

#[test]
fn every_sentence_about_dumps_has_a_test() {
    assert_promised("## 10. Dumps of MySQL and MariaDB", PROMISES_OF_DUMPS);
}

#[test]
fn every_sentence_about_dumps_of_postgresql_has_a_test() {
    assert_promised("## 11. Dumps of PostgreSQL", PROMISES_OF_POSTGRES);
}

#[test]
fn every_sentence_about_dumps_of_mongodb_has_a_test() {
    assert_promised("## 12. Dumps of MongoDB", PROMISES_OF_MONGO);
}

#[test]
fn every_sentence_about_copies_of_data_has_a_test() {
    assert_promised("## 13. Copies of a server's data", PROMISES_OF_COPIES);
}

#[test]
fn every_promise_of_drills_has_a_test() {
    assert_promised("## 14. The restore drill", PROMISES_OF_DRILLS);
}

/// Asserts that a section says these sentences, and that their tests are there.
fn assert_promised(heading: &str, promises: &[(&str, &str)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/semantics.md")).unwrap();
    let promised: Vec<&str> = promises.iter().map(|(sentence, _)| *sentence).collect();
    let written = sentences(&document, heading);
    let differing = (0..written.len().max(promised.len()))
        .find(|at| written.get(*at).map(|it| &it[..]) != promised.get(*at).copied());
    if let Some(at) = differing {
        panic!("the document has {:?} where the tests have {:?}", written.get(at), promised.get(at));
    }
    let tests = text_below(&root.join("tests")) + &text_below(&root.join("src"));
    for (sentence, test) in promises {
        assert!(tests.contains(&format!("fn {test}(")), "{sentence:?}: there is no test {test}");
    }
}

/// The sentences of a section, without its block of code.
fn sentences(document: &str, heading: &str) -> Vec<String> {
    let (_, section) = document.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no section {heading:?}"));
    let section = section.split("\n## ").next().unwrap();
    let prose: Vec<&str> = section.split("```").step_by(2).collect();
    let items = prose.concat().replace("\n- ", "\n\n");
    let items = items.split("\n\n").map(|item| item.split_whitespace().collect::<Vec<_>>().join(" "));
    items
        .flat_map(|item| {
            let count = item.matches(". ").count();
            let ends = (0..=count).map(move |at| if at < count { "." } else { "" });
            item.split(". ").zip(ends).map(|(sentence, end)| format!("{sentence}{end}")).collect::<Vec<_>>()
        })
        .filter(|sentence| !sentence.is_empty())
        .collect()
}

/// All that stands in the sources below a directory.
fn text_below(directory: &Path) -> String {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.map(|path| match path.extension() {
        _ if path.is_dir() => text_below(&path),
        Some(extension) if extension == "rs" => fs::read_to_string(&path).unwrap(),
        _ => String::new(),
    });
    texts.collect()
}

#[test]
fn listings_of_at_ids_and_diff() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    stage.ingest(&source, "lake");
    let mount = stage.mount();
    let snapshot = shown(&stage, "lake");
    let id = snapshot["id"].as_str().unwrap();
    assert_eq!(names(mount.path("at")), [&snapshot["name"].as_str().unwrap()[..10]]);
    assert_eq!(names(mount.path("ids")), [&id[..12]]);
    assert_eq!(names(mount.path("diff")), [""; 0]);
    let root = identity(mount.latest("lake"));
    for way in ["at/1s-ago".into(), format!("ids/{}", &id[..4]), format!("ids/{id}"), "diff/lake..lake@latest".into()] {
        within(Duration::from_secs(3), &way, || mount.path(&way).exists());
    }
    assert_eq!(identity(mount.path(&format!("ids/{}", id[..4].to_uppercase()))), root);
}

fn shown(stage: &Stage, snapshot: &str) -> serde_json::Value {
    serde_json::from_str(&stage.succeed(&["show", snapshot, "--json"])).unwrap()
}

#[test]
fn a_snapshot_stays_while_its_source_changes() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    let bytes = noise(1, 3 << 20);
    fs::write(source.join("file"), &bytes).unwrap();
    fs::write(source.join("gone"), "gone").unwrap();
    stage.ingest(&source, "lake");
    let mount = stage.mount();
    let root = mount.latest("lake");
    let mut open = File::open(root.join("file")).unwrap();
    open.read_exact(&mut [0; 1000]).unwrap();
    let before = fs::metadata(root.join("file")).unwrap();
    fs::write(source.join("file"), noise(2, 3 << 20)).unwrap();
    fs::remove_file(source.join("gone")).unwrap();
    stage.ingest(&source, "lake");
    within(Duration::from_secs(1), "the new snapshot", || mount.latest("lake") != root);
    let mut rest = Vec::new();
    open.read_to_end(&mut rest).unwrap();
    assert!(rest == bytes[1000..]);
    assert!(fs::read(root.join("file")).unwrap() == bytes);
    assert_eq!(fs::read(root.join("gone")).unwrap(), b"gone");
    let after = fs::metadata(root.join("file")).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert!(fs::read(mount.latest("lake").join("file")).unwrap() == noise(2, 3 << 20));
}

#[test]
fn files_of_a_forgotten_snapshot_give_errors() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    fs::write(source.join("file"), noise(1, 8 << 20)).unwrap();
    stage.ingest(&source, "lake");
    let mount = stage.mount();
    let path = mount.latest("lake").join("file");
    let open = File::open(&path).unwrap();
    // Past the kernel's pages, so that what was read just now is still in memory of the serving process.
    let direct = File::options().read(true).custom_flags(libc::O_DIRECT).open(&path).unwrap();
    direct.read_exact_at(&mut [0; 4096], 3 << 20).unwrap();
    stage.succeed(&["forget", "lake@latest"]);
    within(Duration::from_secs(1), "it disappears", || names(mount.path("snapshots")).is_empty());
    for (file, offset) in [(&open, 5 << 20), (&direct, 3 << 20)] {
        let read = file.read_at(&mut [0; 4096], offset);
        assert!(errno(read).is_some(), "a file of a forgotten snapshot was read at {offset}");
    }
}

#[test]
fn fields_of_stat_that_are_not_as_ingested() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    for name in ["one", "two", "three"] {
        fs::create_dir(source.join(name)).unwrap();
    }
    fs::write(source.join("file"), noise(1, 1000)).unwrap();
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    sparse.write_all_at(&[1; 4096], 1 << 20).unwrap();
    stage.ingest(&source, "lake");
    let mount = stage.mount();
    let root = mount.latest("lake");
    let stat = |name: &str| fs::metadata(root.join(name)).unwrap();
    assert_eq!((stat("").nlink(), stat("one").nlink()), (5, 2));
    assert_eq!((stat("").size(), stat("one").size()), (4096, 4096));
    assert_eq!((stat("file").blocks(), stat("sparse").blocks(), stat("sparse").size()), (2, 8, 1 << 30));
    for name in ["", "one", "file"] {
        let (stat, modified) = (stat(name), fs::metadata(source.join(name)).unwrap());
        let modified = (modified.mtime(), modified.mtime_nsec());
        assert_eq!((stat.mtime(), stat.mtime_nsec()), modified, "{name}");
        assert_eq!((stat.atime(), stat.atime_nsec()), modified, "{name}");
        assert_eq!((stat.ctime(), stat.ctime_nsec()), modified, "{name}");
    }
    fs::read(root.join("file")).unwrap();
    assert_eq!(stat("file").atime(), stat("file").mtime(), "reading is no access that shows");
}

#[test]
fn names_outside_of_the_snapshot_count() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    fs::write(source.join("file"), "text").unwrap();
    fs::hard_link(source.join("file"), stage.path("outside")).unwrap();
    stage.ingest(&source, "lake");
    assert_eq!(fs::metadata(stage.mount().latest("lake").join("file")).unwrap().nlink(), 2);
}

#[test]
fn every_fact_is_told_and_no_copy_takes_it_along() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    rustix::fs::setxattr(&source, "user.own", b"1", XattrFlags::empty()).unwrap();
    stage.ingest(&source, "lake");
    stage.succeed(&["ingest", "dir", source.to_str().unwrap(), "--source", "lake", "--tag", "gold"]);
    let mount = stage.mount();
    let root = mount.latest("lake");
    let facts =
        "id source name time finished status kind host user origin parent files entries bytes problems tags repository";
    for fact in facts.split(' ') {
        let mut value = vec![0; 1000];
        let length = rustix::fs::getxattr(&root, format!("user.yesterfs.{fact}"), &mut value[..]);
        let length = length.unwrap_or_else(|errno| panic!("{fact}: {errno}"));
        assert!(length > 0, "{fact} is empty");
    }
    let copy = stage.path("copy");
    run_quietly(Command::new("cp").arg("-a").arg(&root).arg(&copy));
    let mut list = vec![0; 1000];
    let length = rustix::fs::listxattr(&copy, &mut list[..]).unwrap();
    assert_eq!(&list[..length], b"user.own\0");
}

#[test]
fn signals_unmount() {
    use rustix::process::Signal;
    let stage = Stage::new();
    for (name, signal) in [("term", Signal::TERM), ("int", Signal::INT), ("hup", Signal::HUP)] {
        let mount = stage.mount_with(name, &[]);
        mount.signal(signal);
        within(Duration::from_secs(20), name, || fs::read_dir(mount.point()).unwrap().count() == 0);
        assert_eq!(mount.log(), "");
    }
}

/// The default of `--cache`, the chunk index, and what threads and tables take.
const MEMORY_MAX_BYTES: u64 = 256 << 20;

#[test]
fn memory_stays_bounded_whatever_is_visited() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    for directory in 0..200 {
        fs::create_dir(source.join(format!("{directory}"))).unwrap();
        for file in 0..100 {
            fs::write(source.join(format!("{directory}/{file}")), format!("{directory} {file}\n").repeat(30)).unwrap();
        }
    }
    fs::write(source.join("large"), noise(5, 100 << 20)).unwrap();
    stage.ingest(&source, "lake");
    fs::set_permissions(source.join("large"), fs::Permissions::from_mode(0o600)).unwrap();
    stage.ingest(&source, "lake");
    let mount = stage.mount();
    let visit = |mount: &Mount| {
        let mut tar = Command::new("sh");
        tar.args(["-c", "tar --create --file=- . | wc -c >/dev/null"]).current_dir(mount.point());
        run_quietly(&mut tar);
    };
    visit(&mount);
    let peak = mount.peak_memory_bytes();
    assert!(peak < MEMORY_MAX_BYTES, "{} MiB", peak >> 20);
}

#[test]
fn what_differs_is_sorted_into_added_removed_and_changed() {
    let stage = Stage::new();
    let source = stage.make_directory("source");
    for name in ["same/file", "own/file", "deep/below/changed", "deep/below/same", "gone/file", "type"] {
        fs::create_dir_all(source.join(name).parent().unwrap()).unwrap();
        fs::write(source.join(name), "before").unwrap();
    }
    let first = stage.ingest(&source, "lake");
    fs::set_permissions(source.join("own"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(source.join("deep/below/changed"), "after, and longer").unwrap();
    fs::remove_dir_all(source.join("gone")).unwrap();
    fs::remove_file(source.join("type")).unwrap();
    fs::create_dir_all(source.join("type/new")).unwrap();
    let second = stage.ingest(&source, "lake");
    let mount = stage.mount();
    let difference = mount.path(&format!("diff/lake@{first}..lake@{second}"));
    let listed = |part: &str| {
        let mut find = Command::new("find");
        find.args([".", "-mindepth", "1", "-printf", "%P %y %s\\n"]).current_dir(difference.join(part));
        let mut lines: Vec<String> =
            support::mounted::text(run_quietly(&mut find)).lines().map(str::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(listed("added"), ["type d 4096", "type/new d 4096"]);
    assert_eq!(listed("removed"), ["gone d 4096", "gone/file f 6", "type f 6"]);
    let changed = ["deep d 4096", "deep/below d 4096", "deep/below/changed f 17", "own d 4096"];
    assert_eq!(listed("changed"), changed);
    assert_eq!(fs::metadata(difference.join("changed/own")).unwrap().permissions().mode() & 0o7777, 0o700);
    let file = difference.join("changed/deep/below/changed");
    assert_eq!(identity(file), identity(mount.latest("lake").join("deep/below/changed")));
}
