/* Options as data: parser, --help, configuration schema and the manager's form use one table. */
#ifndef DEVMODEL_OPT_H
#define DEVMODEL_OPT_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

#define OPT_NAME_MAX 32
enum opt_type { OPT_T_U32, OPT_T_U64, OPT_T_BOOL, OPT_T_STR };

struct opt {
	const char *name;
	enum opt_type type;
	size_t off, size;  /* of the member in the object */
	uint64_t min, max; /* of a number, or of a string's length (max below the member's size) */
	const char *def;   /* as text: a default goes through the parser like anything else */
	const char *help;  /* one line with the unit */
};

#define OPT(T, m, min, max, def, help)                                                             \
	{                                                                                          \
#m, _Generic(((T *)0)->m, uint32_t: OPT_T_U32, \
	uint64_t: OPT_T_U64, bool: OPT_T_BOOL, char *: OPT_T_STR), offsetof(T, m), \
	sizeof(((T *)0)->m), min, max, def, help                                                   \
	}
#define OPT_END                                                                                    \
	{                                                                                          \
		NULL, OPT_T_U32, 0, 0, 0, 0, NULL, NULL                                            \
	}

/* Stores every default in obj. who: what a message starts with. */
HV_MUST_CHECK int opt_defaults(const struct opt *table, const char *who, void *obj, struct err *e);
/* Stores one "key=value"; a misspelt key is answered with the nearest one. */
HV_MUST_CHECK int opt_set(const struct opt *table, const char *who, const char *arg, void *obj,
			  struct err *e);
#endif
