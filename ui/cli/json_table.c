/* The tables of what --json prints, see json.h. A row may be added; none goes or changes. */
#include "cli/json.h"
#include <stddef.h>
#include "protocol/protocol.h"

/* ---- VMs ---- */

static const struct json_key vm_keys[] = {
	{ "name", "string", "what the VM is called" },
	{ "state", "string", "one of the states below" },
	{ "folder", "string", "where it lies; empty: it is not kept" },
	{ "reason?", "string", "why it is in that state: one of the reasons below, or empty" },
	{ "activity?", "string", "what goes on meanwhile, such as \"saving 40 %\"; or empty" },
	{ "engine?", "string", "what runs the guest: kvm, soft, null" },
	{ "engine-reason?", "string", "why this engine was chosen" },
	{ "machine?", "string", "the kind of machine: pc-1" },
	{ "pid?", "number", "its process" },
	{ "cpu-count?", "number", "how many CPUs the guest has" },
	{ "cpu-model?", "string", "what kind of CPU" },
	{ "memory-bytes?", "number bytes", "memory of the guest" },
	{ "uptime-ns?", "number ns", "the guest's time since power-on" },
	{ "exit-info?", "object", "how it ended" },
	{ "exit-info.status", "number", "the status its process ends with; -1 while it runs" },
	{ "exit-info.text", "string", "one line on why; or empty" },
	{ "disks?", "array", "all drives" },
	{ "disks[].name", "string", "disk.root, cdrom.0, floppy.0 and so on" },
	{ "disks[].file", "string", "what is in it; empty: nothing" },
	{ "disks[].changes", "string", "what becomes of them: keep, discard, read-only" },
	{ "disks[].bus", "string", "virtio, ahci, ide, floppy" },
	{ "serial-ports?", "array", "all serial ports" },
	{ "serial-ports[].port", "number", "0 is the first" },
	{ "serial-ports[].output", "string", "where it goes: a file, - or none" },
	{ NULL },
};

static const struct json_key show_keys[] = {
	{ "settings?", "object", "what vm.ini says; only of a VM that does not run" },
	{ "settings.*", "string", "a setting (lodge help settings)" },
	{ "devices?", "array", "all devices; only with --devices" },
	{ "devices[].id", "string", "what show VM DEVICE takes" },
	{ "devices[].class", "string", "its model" },
	{ "devices[].summary", "string", "one line on that" },
	{ NULL },
};

static const struct json_key made_keys[] = {
	{ "name", "string", "what the VM is called" },
	{ "folder", "string", "where it lies" },
	{ NULL },
};

static const struct json_key log_keys[] = {
	{ "line", "string", "a line of it" },
	{ NULL },
};

static const struct json_key device_keys[] = {
	{ "*", "any", "a field: a number, a boolean, an array or an object of such" },
	{ NULL },
};

static const struct json_key get_keys[] = {
	{ "*", "string", "the setting of that name, as in vm.ini" },
	{ NULL },
};

static const struct json_key save_keys[] = {
	{ "file-bytes", "number bytes", "length of the file" },
	{ NULL },
};

static const struct json_key media_keys[] = {
	{ "name", "string", "cdrom.0, floppy.0 and so on" },
	{ "file", "string", "what is in it; empty: nothing" },
	{ "changes", "string", "what becomes of them: keep, discard, read-only" },
	{ "bus", "string", "ahci, ide, floppy" },
	{ NULL },
};

/* ---- snapshots ---- */

static const struct json_key taken_keys[] = {
	{ "name", "string", "what the snapshot is called" },
	{ "id", "string", "its ID: 12 hexadecimal digits, which stay" },
	{ NULL },
};

static const struct json_key snapshot_keys[] = {
	{ "id", "string", "its ID: 12 hexadecimal digits, which stay" },
	{ "name", "string", "what it is called" },
	{ "parent", "string", "the ID of the one that it comes from; empty: none" },
	{ "message", "string", "what --message said; or empty" },
	{ "time", "string", "when it was taken: RFC 3339, UTC" },
	{ "protected", "boolean", "whether it can be deleted only after protect --off" },
	{ "state", "boolean", "whether the VM ran, and its memory is in it" },
	{ "current", "boolean", "whether the VM goes on from it" },
	{ NULL },
};

static const struct json_key verify_keys[] = {
	{ "id", "string", "the snapshot's ID" },
	{ "name", "string", "what it is called" },
	{ "damage", "string", "one line on it; empty: it is whole" },
	{ NULL },
};

/* ---- statistics ---- */

static const struct json_key stats_keys[] = {
	{ "engine", "string", "what runs the guest: kvm, soft, null" },
	{ "uptime-ns", "number ns", "the guest's time since power-on" },
	{ "elapsed-ns", "number ns", "the host's time since the VM was started" },
	{ "process-user-ns", "number ns", "CPU time of the process" },
	{ "process-system-ns", "number ns", "CPU time that the kernel spent for it" },
	{ "process-resident-bytes", "number bytes", "memory that it has now" },
	{ "process-resident-max-bytes", "number bytes", "the most that it had" },
	{ "display-draws", "number", "how often the picture was looked at for viewers" },
	{ "display-frames", "number", "how often it had changed" },
	{ "fallbacks-by-instruction", "object", "what fallbacks are, the most frequent first" },
	{ "fallbacks-by-instruction.*", "number", "the instruction of that name" },
	{ "vcpus", "array", "the CPUs" },
	{ NULL },
};

static const struct json_key run_keys[] = {
	{ "stats", "object", "what stats VM prints" },
	{ NULL },
};

static const struct json_key counter_keys[] = {
	{ "instructions", "number", "translated, interpreted and fallbacks together" },
	{ "translated", "number", "done by translated code" },
	{ "interpreted", "number", "done in blocks without a translation" },
	{ "untranslatable", "number", "of these: about so many have none" },
	{ "stepped", "number", "of these: done one by one" },
	{ "fallbacks", "number", "in translated blocks, but done by the interpreter" },
	{ "slow-accesses", "number", "of translated: memory was not to be reached directly" },
	{ "blocks-decoded", "number", "blocks that were decoded" },
	{ "blocks-translated", "number", "blocks that were translated" },
	{ "code-invalidations", "number", "blocks whose code the guest has changed" },
	{ "cache-drops", "number", "how often all translated code was thrown away" },
	{ "code-bytes", "number bytes", "translated code now" },
	{ "code-entries", "number", "from the run loop into translated code" },
	{ "decode-ns", "number ns", "time spent on decoding" },
	{ "translate-ns", "number ns", "time spent on translating" },
	{ "tlb-misses", "number", "addresses that had to be looked up in page tables" },
	{ "tlb-flushes", "number", "how often what was looked up was forgotten" },
	{ "flush-requests", "number", "of them: asked for by other threads" },
	{ "interrupts", "number", "interrupts that the guest got" },
	{ "exceptions", "number", "exceptions that it got" },
	{ "pio", "number", "accesses to I/O ports" },
	{ "mmio", "number", "accesses to devices' memory" },
	{ "lapic", "number", "accesses to the local APIC" },
	{ "msr", "number", "accesses to MSRs, those of the local APIC too" },
	{ "hlt", "number", "halts" },
	{ "kicks", "number", "requests to leave the guest" },
	{ "yields", "number", "a guest that spins gave the host's CPU up" },
	{ "halted-ns", "number ns", "time asleep in a halt" },
	{ NULL },
};

/* ---- screen ---- */

static const struct json_key picture_keys[] = {
	{ "file", "string", "where the picture is" },
	{ "width", "number pixels", "of the picture" },
	{ "height", "number pixels", "of the picture" },
	{ "pixel-aspect", "array", "width and height of a pixel, as a ratio" },
	{ "pixel-aspect[]", "number", "the width; the height" },
	{ NULL },
};

static const struct json_key text_keys[] = {
	{ "lines", "array", "the screen from top to bottom" },
	{ "lines[]", "string", "a line, without blanks at its end" },
	{ "columns", "number", "of the screen" },
	{ "cursor", "object|null", "where it is; null: it is hidden" },
	{ "cursor.column", "number", "0 is the left one" },
	{ "cursor.line", "number", "0 is the top one" },
	{ NULL },
};

/* ---- host ---- */

static const struct json_key version_keys[] = {
	{ "version", "string", "Lodge's version" },
	{ NULL },
};

static const struct json_key doctor_keys[] = {
	{ "check", "string", "what was looked at" },
	{ "verdict", "string", "ok; note: VMs run without it; bad: they do not" },
	{ "text", "string", "what was found, and what to do" },
	{ NULL },
};

static const struct json_key help_keys[] = {
	{ "keys", "array", "all keys of this page" },
	{ "keys[].command", "string", "who prints it" },
	{ "keys[].key", "string", "where it is, as on this page" },
	{ "keys[].optional", "boolean", "whether it may be missing" },
	{ "keys[].type", "string", "its type, as on this page" },
	{ "keys[].unit", "string|null", "what is counted; null: see the meaning" },
	{ "keys[].meaning", "string", "what it means" },
	{ "states", "array", "the states of a VM" },
	{ "states[].word", "string", "as in the key state" },
	{ "states[].meaning", "string", "what it means" },
	{ "reasons", "array", "the reasons of states" },
	{ "reasons[].word", "string", "as in the key reason" },
	{ "reasons[].meaning", "string", "what it means" },
	{ "errors", "array", "the codes of errors" },
	{ "errors[].word", "string", "as in the key error.code" },
	{ "errors[].status", "number", "the exit status of the command" },
	{ "errors[].meaning", "string", "what it means" },
	{ NULL },
};

static const struct json_key error_keys[] = {
	{ "error", "object", "what went wrong" },
	{ "error.code", "string", "one of the errors below" },
	{ "error.message", "string", "one line for people; its words may change" },
	{ "error.hint", "string|null", "what to do or to look at; null: the message says it" },
	{ NULL },
};

/* ---- disk images (lodge-disk) ---- */

static const struct json_key disk_info_keys[] = {
	{ "file", "string", "the image" },
	{ "format", "string", "raw, qcow2" },
	{ "disk-bytes", "number bytes", "length of the disk that it shows" },
	{ "host-bytes", "number bytes", "what it takes on the host" },
	{ "version?", "number", "of the format qcow2: 2, 3. This and the others: only of qcow2" },
	{ "cluster-bytes?", "number bytes", "a cluster" },
	{ "refcount-bits?", "number bits", "the counter of a cluster" },
	{ "compression?", "string", "how clusters are compressed, if any are: zlib, zstd" },
	{ "lazy-refcounts?", "boolean", "whether clusters are counted when it is closed" },
	{ "extended-l2?", "boolean", "whether clusters have parts of their own" },
	{ "dirty?", "boolean", "whether it was not closed" },
	{ "corrupt?", "boolean", "whether it is marked as damaged" },
	{ "snapshots?", "number", "internal snapshots, which Lodge leaves alone" },
	{ "backing-file?", "string|null", "the image that it is based on, as it says" },
	{ "backing-format?", "string|null", "the format of that: raw, qcow2" },
	{ NULL },
};

static const struct json_key disk_map_keys[] = {
	{ "start", "number bytes", "where the range begins on the disk" },
	{ "bytes", "number bytes", "its length" },
	{ "kind", "string", "data, compressed, zero; nothing: no image has it, it reads as zeros" },
	{ "depth", "number", "which image has it: 0 the named one, 1 that below and so on" },
	{ "offset?", "number bytes", "where it is in that image; only of data" },
	{ NULL },
};

static const struct json_key disk_check_keys[] = {
	{ "errors", "number", "what is wrong; check ends with 1 if there are any" },
	{ "lost-clusters", "number", "clusters of the file that belong to nothing" },
	{ "repaired", "boolean", "whether that was mended" },
	{ "clusters", "number", "clusters of the disk" },
	{ "allocated-clusters", "number", "those that have data" },
	{ "compressed-clusters", "number", "those of them that are compressed" },
	{ "file-clusters", "number", "clusters of the file" },
	{ "first-error", "string|null", "one line on the first" },
	{ NULL },
};

static const struct json_key disk_bench_keys[] = {
	{ "requests", "number", "requests that were done" },
	{ "bytes", "number bytes", "what they have moved" },
	{ "time-ns", "number ns", "how long that took" },
	{ "cpu-ns", "number ns", "CPU time of it" },
	{ NULL },
};

/* ---- who prints what ---- */

const struct json_part json_parts[] = {
	{ "list", "An array of all VMs, sorted by name. A key with ? is there while the VM runs.",
	  "[]", vm_keys },
	{ "show VM", "An object: the keys of list, and", "", show_keys },
	{ "show VM", NULL, "", vm_keys },
	{ "show VM DEVICE",
	  "An object: the device's state. Its fields are those of a saved state, as they are in "
	  "this version.",
	  "", device_keys },
	{ "create NAME", "An object.", "", made_keys },
	{ "clone VM NEW", "An object as of create.", "", made_keys },
	{ "fork VM[@SNAPSHOT] NEW", "An array of all that were made, also if an error follows.",
	  "[]", made_keys },
	{ "log VM", "An object for each line.", "", log_keys },
	{ "get VM [KEY]", "An object: all settings, or that one.", "", get_keys },
	{ "save VM FILE", "An object.", "", save_keys },
	{ "snapshot take VM [NAME]", "An object.", "", taken_keys },
	{ "snapshot import VM FILE [NAME]", "An object as of snapshot take.", "", taken_keys },
	{ "snapshot list VM", "An array, the oldest first.", "[]", snapshot_keys },
	{ "snapshot verify VM [NAME]",
	  "An array: a snapshot that has more than one damage is there more than once. An error "
	  "follows if there is any.",
	  "[]", verify_keys },
	{ "media list VM", "An array of CD and floppy drives.", "[]", media_keys },
	{ "screenshot VM [FILE]", "An object; nothing if FILE is -.", "", picture_keys },
	{ "screenshot VM --text", "An object.", "", text_keys },
	{ "stats VM", "An object; with --watch one more every second.", "", stats_keys },
	{ "stats VM", "Of all CPUs together:", "", counter_keys },
	{ "stats VM", "Of each CPU, in vcpus[]: the same.", "vcpus[]", counter_keys },
	{ "run --stats", "An object on standard error, at the end.", "", run_keys },
	{ "run --stats", NULL, "stats", stats_keys },
	{ "run --stats", NULL, "stats", counter_keys },
	{ "run --stats", NULL, "stats.vcpus[]", counter_keys },
	{ "version", "An object.", "", version_keys },
	{ "doctor", "An array.", "[]", doctor_keys },
	{ "help json", "An object: this page.", "", help_keys },
	{ "disk info FILE", "An object.", "", disk_info_keys },
	{ "disk info --chain FILE",
	  "An array: what disk info prints, of the image, of the one below it and so on.", "[]",
	  disk_info_keys },
	{ "disk map FILE", "An array of ranges of the disk.", "[]", disk_map_keys },
	{ "disk check FILE", "An object.", "", disk_check_keys },
	{ "disk repair FILE", "An object as of disk check.", "", disk_check_keys },
	{ "disk bench FILE", "An object.", "", disk_bench_keys },
	{ "COMMAND that fails", "An object on standard error.", "", error_keys },
	{ NULL },
};

const struct json_word json_states[] = {
	{ "stopped", "it does not run, and begins with power-on" },
	{ "starting", "its process prepares it" },
	{ "running", "it runs" },
	{ "paused", "its clock and its CPUs stand still" },
	{ "suspended", "its memory is on the disk, and it goes on from there" },
	{ "stopping", "its power button was pressed, and the guest has not ended yet" },
	{ "crashed", "its process ended with an error, or was ended" },
	{ NULL },
};

const struct json_word json_reasons[] = {
	{ "user", "a command" },
	{ "guest", "what the guest did: it has switched off, woken up, or crashed" },
	{ "guest-sleep", "the guest has put the machine to sleep" },
	{ "stop-ignored", "the guest did not end when its power button was pressed" },
	{ "debugger", "a debugger holds it" },
	{ "disk-full", "the host has no room for what the guest writes: it goes on by itself" },
	{ "suspended", "it was put on the disk" },
	{ "replaced", "another process goes on with it" },
	{ "error", "something of Lodge or of the host failed" },
	{ NULL },
};

const char *const json_errors[] = {
	[LODGE_ERROR_FAILED] = "what was begun has failed",
	[LODGE_ERROR_BAD_ARGUMENT] =
		"bad usage, a bad value, or a file that is not what it has to be",
	[LODGE_ERROR_NOT_FOUND] = "no such VM, snapshot, device or file",
	[LODGE_ERROR_WRONG_STATE] = "not in this state, or it is in use",
	[LODGE_ERROR_HOST_LIMIT] = "this host cannot: engine, permission, room, something missing",
	[LODGE_ERROR_TIMEOUT] = "the time was up",
	NULL,
};
