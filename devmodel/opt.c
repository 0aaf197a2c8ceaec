/* Option parser, see opt.h. */
#include "devmodel/opt.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Strict: decimal or 0x, no sign, no space, nothing after it, no octal surprise. */
static bool parse_u64(const char *s, uint64_t *ret_v)
{
	const bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	char *end;

	s += hex ? 2 : 0;
	if (s[0] == '\0' || s[strspn(s, hex ? "0123456789abcdefABCDEF" : "0123456789")] != '\0')
		return false;
	errno = 0;
	*ret_v = strtoull(s, &end, hex ? 16 : 10);
	return errno == 0;
}

static int set_value(const struct opt *o, const char *who, const char *s, void *obj, struct err *e)
{
	void *p = (uint8_t *)obj + o->off;
	const bool on = strcmp(s, "on") == 0;
	const size_t len = strlen(s);
	uint64_t v;

	switch (o->type) {
	case OPT_T_BOOL:
		if (!on && strcmp(s, "off") != 0)
			return err_set(e, -EINVAL, "%s: %s is on or off, not '%s'", who, o->name,
				       s);
		memcpy(p, &on, sizeof(on));
		return 0;
	case OPT_T_STR:
		if (len < o->min || len > o->max || len >= o->size)
			return err_set(e, -ERANGE, "%s: %s has %llu to %llu bytes", who, o->name,
				       (unsigned long long)o->min, (unsigned long long)o->max);
		memcpy(p, s, len + 1);
		return 0;
	default:
		if (!parse_u64(s, &v) || v < o->min || v > o->max)
			return err_set(e, -ERANGE, "%s: %s is %llu to %llu (%s), not '%s'", who,
				       o->name, (unsigned long long)o->min,
				       (unsigned long long)o->max, o->help, s);
		memcpy(p, &v, o->size); /* little endian: the low bytes */
		return 0;
	}
}

/* Edits that turn a into the nb bytes at b (Levenshtein, one row); 0 means equal. */
static unsigned distance(const char *a, const char *b, size_t nb)
{
	unsigned row[OPT_NAME_MAX + 1];

	if (nb > OPT_NAME_MAX)
		return UINT32_MAX - 1;
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (unsigned i = 0; a[i] != '\0'; i++) {
		unsigned diag = row[0];
		row[0] = i + 1;
		for (size_t j = 0; j < nb; j++) {
			unsigned best = diag + (a[i] != b[j]);
			best = best < row[j] + 1 ? best : row[j] + 1;
			diag = row[j + 1];
			row[j + 1] = best < diag + 1 ? best : diag + 1;
		}
	}
	return row[nb];
}

int opt_set(const struct opt *table, const char *who, const char *arg, void *obj, struct err *e)
{
	const size_t len = strcspn(arg, "=");
	const struct opt *nearest = NULL;
	unsigned best = UINT32_MAX;

	if (arg[len] == '\0')
		return err_set(e, -EINVAL, "%s: '%s' is not key=value", who, arg);
	for (const struct opt *o = table; o != NULL && o->name != NULL; o++) {
		unsigned dist = distance(o->name, arg, len);
		if (dist == 0)
			return set_value(o, who, arg + len + 1, obj, e);
		if (dist < best) {
			best = dist;
			nearest = o;
		}
	}
	if (nearest == NULL)
		return err_set(e, -EINVAL, "%s: takes no options", who);
	return err_set(e, -EINVAL, "%s: no option '%.*s'; the nearest is '%s': %s", who, (int)len,
		       arg, nearest->name, nearest->help);
}

int opt_defaults(const struct opt *table, const char *who, void *obj, struct err *e)
{
	for (const struct opt *o = table; o != NULL && o->name != NULL; o++) {
		int r = set_value(o, who, o->def, obj, e);
		if (r < 0)
			return r;
	}
	return 0;
}
