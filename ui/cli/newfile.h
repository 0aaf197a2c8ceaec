/* A file that appears complete or not at all: what a command writes for the user. */
#ifndef CLI_NEWFILE_H
#define CLI_NEWFILE_H
#include <gio/gio.h>
#include <stdbool.h>

struct new_file {
	int fd; /* to be written to, from its beginning */
	char *path;
	char *temp; /* its name until then; NULL: it has none */
};

/* May path become a file? command: who asks, for the message. */
bool new_file_check(const char *command, const char *path, GError **error);
/* mode as of open(). */
bool new_file_open(struct new_file *f, const char *path, mode_t mode, GError **error);
/* Syncs it and gives it its name, replacing what had it before, in one step. Closes it, as below.
 */
bool new_file_publish(struct new_file *f, GError **error);
void new_file_drop(struct new_file *f);
/* All of it: open, write, publish; "-" is standard output. */
bool new_file_write(const char *path, const void *data, size_t bytes, GError **error);
#endif
