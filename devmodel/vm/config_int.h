/* The table of settings, for config.c and describe.c. */
#ifndef VM_CONFIG_INT_H
#define VM_CONFIG_INT_H
#include "vm/config.h"

enum setting_type {
	SETTING_NUMBER,
	SETTING_NUMBER64, /* the same, in 64 bits */
	SETTING_SIZE,
	SETTING_BOOL,
	SETTING_CHOICE,
	SETTING_TEXT,
	SETTING_FILE_IN,  /* from here on paths; a file that must exist */
	SETTING_FILE_OUT, /* a file that is made */
	SETTING_STREAM,	  /* none, - (standard input and output) or a file that is made */
	SETTING_SOCKET,	  /* a TCP port of 127.0.0.1 or the path of a socket that is made */
};

struct setting {
	const char *key; /* a * stands for an instance: disk.root.file, serial.0.output */
	enum setting_type type;
	size_t off;		    /* in vm_config; with an instance: in its struct */
	uint64_t min, max;	    /* of a number or size, or of a text's bytes */
	const char *const *choices; /* NULL-ended */
	const char *def;	    /* NULL: not set */
	const char *help;
};

extern const struct setting vm_settings[]; /* ends with a NULL key */

/* Does a key such as disk.root.file fit that pattern, disk.*.file? *ret_name: what stands for the
 * star, to be freed; NULL without one. */
bool vm_setting_fits(const char *pattern, const char *key, char **ret_name);
#endif
