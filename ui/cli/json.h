/* What --json prints, as data: the page lodge-json(7) and its test are made from it. */
#ifndef CLI_JSON_H
#define CLI_JSON_H
#include "cli/page.h"

struct json_key {
	/* Where it is: "a.b" is member b of a, "a[]" an element, "*" a name that is data. One that
	 * ends in "?" may be missing. */
	const char *key;
	/* string, number, boolean, array, object, any; "string|null"; "number ns": with its unit */
	const char *type;
	const char *text; /* what it means */
};

/* Keys of a command; those of one command follow each other. */
struct json_part {
	const char *command;
	const char *text;	     /* NULL: what stands before says it */
	const char *prefix;	     /* where the keys are: "[]"; "": at the top */
	const struct json_key *keys; /* end with a NULL key; explained where they come first */
};

/* A word that is a value, and what it means. */
struct json_word {
	const char *word, *text;
};

extern const struct json_part json_parts[];  /* ends with a NULL command */
extern const struct json_word json_states[]; /* all end with a NULL word */
extern const struct json_word json_reasons[];
extern const char *const json_errors[]; /* by enum lodge_error, from 1 on; ends with NULL */

/* The page lodge-json(7). */
void json_page(enum page form);
/* The same as JSON. */
void json_self(void);
#endif
