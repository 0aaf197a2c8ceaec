/*
 * What lodge-vm and its clients agree on beside the interface XML: names, errors and the exit codes
 * they become, where the control sockets are, and how sizes, times and words are written.
 */
#ifndef PROTOCOL_PROTOCOL_H
#define PROTOCOL_PROTOCOL_H
#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

#define LODGE_OBJECT "/org/lodge/VM"
#define LODGE_IFACE_VM "org.lodge.VM1"
#define LODGE_IFACE_DEVICES "org.lodge.Devices1"
#define LODGE_IFACE_STATS "org.lodge.Stats1"
#define LODGE_IFACE_INPUT "org.lodge.Input1"
#define LODGE_IFACE_DISPLAY "org.lodge.Display1"
#define LODGE_IFACE_SERIAL "org.lodge.Serial1"
#define LODGE_IFACE_SNAPSHOTS "org.lodge.Snapshots1"
#define LODGE_IFACE_MEDIA "org.lodge.Media1"

/* Errors of every call and of the clients themselves; the value is the exit code. */
enum lodge_error {
	LODGE_ERROR_FAILED = 1,
	LODGE_ERROR_BAD_ARGUMENT = 2,
	LODGE_ERROR_NOT_FOUND = 3,
	LODGE_ERROR_WRONG_STATE = 4,
	LODGE_ERROR_HOST_LIMIT = 5,
	LODGE_ERROR_TIMEOUT = 6,
};

/* Exit statuses of `lodge run` and lodge-vm beside the guest's own. */
#define LODGE_EXIT_GUEST_MAX 119
#define LODGE_EXIT_TIMEOUT 124
#define LODGE_EXIT_FAILED 125
#define LODGE_EXIT_CRASHED 126

/* lodge-console's status when the user pulled the plug of a VM that `lodge run` owns. */
#define LODGE_CONSOLE_PLUG 64

#define LODGE_ERROR (lodge_error_quark())
GQuark lodge_error_quark(void); /* its codes travel over D-Bus as org.lodge.Error.* */
/* "BadArgument" and so on. */
const char *lodge_error_name(int code);
/* Sets "cannot WHAT 'PATH': " and what errno says; returns false. */
bool lodge_io_error(GError **error, const char *what, const char *path);
/* The code that a negative errno becomes. */
enum lodge_error lodge_error_of_errno(int err);

/* ---- where running VMs are found ---- */

/*
 * The folder with one folder for each running VM: $XDG_RUNTIME_DIR/lodge, else /tmp/lodge-UID;
 * 0700 and the user's own, or it is refused. create: made if it is missing; else that is
 * LODGE_ERROR_NOT_FOUND.
 */
char *lodge_run_root(bool create, GError **error);
/* The name in there of a VM that is a folder: 16 hex digits of the SHA-256 of its real path. */
char *lodge_run_name_of_folder(const char *folder, GError **error);
/* Removes what a process that was killed left there. The VM's own lock is held: it does not run. */
void lodge_run_forget(const char *name);
/* Files in a VM's folder there: the control socket; the lock that its lodge-vm holds. */
#define LODGE_RUN_CONTROL "control"
#define LODGE_RUN_LOCK "lock"

/* ---- sizes, times, words ---- */

/* "512M" "2G" "4096": binary multiples, suffix K M G T or none (bytes). */
bool lodge_parse_size(const char *s, uint64_t *ret_bytes);
/* "30s" "5m" "2h" "250ms"; a plain number is seconds. */
bool lodge_parse_time(const char *s, uint64_t *ret_ms);
/* The largest unit that is exact: "512M". */
char *lodge_format_size(uint64_t bytes);
/* A name as an argument that can be typed: in quotes if a shell wants them, behind -- if it begins
 * with a dash. */
char *lodge_shell_word(const char *s);
/* Of a NULL-ended list, the word that s was to be: the one that needs the fewest edits to become s,
 * or the first that begins with it or is its beginning; NULL if none is near. */
const char *lodge_nearest(const char *s, const char *const *words);

/* ---- statistics ---- */

/* What Stats1.Get returns, a line a counter, with shares; of the fallbacks by instruction the most
 * frequent. */
char *lodge_stats_text(GVariant *stats);

/* ---- JSON ---- */

void lodge_json_string(GString *out, const char *s);
/* Dictionaries become objects, tuples and arrays arrays. */
void lodge_json_variant(GString *out, GVariant *v);
/* {"error":{"code","message","hint"}}; the hint is what stands in brackets at the message's end. */
char *lodge_json_error(int code, const char *message);
#endif
