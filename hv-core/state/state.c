/*
 * Saved-state streams. A section describes itself, so that a tool can print it and a mismatch is
 * a message instead of garbage:
 *
 *	section := u32 magic, u32 bytes of record, record, u32 CRC-32C of all before
 *	record  := name, u8 version, field..., u8 0
 *	field   := name, u8 type, u32 count, count values (or records, for a nested table)
 *	name    := u8 length, that many of [A-Za-z0-9_.-]
 *
 * Numbers are little endian. The checksum finds damage, not malice: everything is checked again.
 * Which device a section belongs to (two of a kind) is the container's business.
 */
#include "state/state.h"
#include <stdio.h>
#include "base/cleanup.h"

#define STATE_MAGIC 0x3153644cu /* "LdS1" */

/* Lodge runs on x86-64 only: an integer's bytes in memory are its bytes on the wire. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "swap bytes in put() and get()");

/* ---- saving: the first error sticks in o->err, and later puts do nothing ---- */

static void put(struct state_out *o, const void *v, size_t n)
{
	if (o->err < 0)
		return;
	if (n > o->cap - o->len) {
		size_t cap = (o->len + n) * 2;
		uint8_t *p = realloc(o->p, cap);
		if (p == NULL) {
			o->err = -ENOMEM;
			return;
		}
		o->p = p;
		o->cap = cap;
	}
	memcpy(o->p + o->len, v, n);
	o->len += n;
}

static void put_name(struct state_out *o, const char *s)
{
	uint8_t n = (uint8_t)strlen(s);

	assert(strlen(s) <= STATE_NAME_MAX);
	put(o, &n, sizeof(n));
	put(o, s, n);
}

static void put_record(struct state_out *o, const struct state_desc *d, const void *obj,
		       unsigned depth)
{
	if (depth >= STATE_DEPTH_MAX) {
		o->err = -ELOOP;
		return;
	}
	put_name(o, d->name);
	put(o, &d->version, sizeof(d->version));
	for (const struct state_field *f = d->fields; f->name != NULL; f++) {
		const uint8_t *p = (const uint8_t *)obj + f->off;
		if (f->type == STATE_T_PAD)
			continue;
		put_name(o, f->name);
		put(o, &f->type, sizeof(f->type));
		put(o, &f->count, sizeof(f->count));
		if (f->type != STATE_T_STRUCT)
			put(o, p, (size_t)f->size * f->count);
		else
			for (uint32_t i = 0; i < f->count && o->err == 0; i++)
				put_record(o, f->sub, p + (size_t)i * f->size, depth + 1);
	}
	put_name(o, "");
}

int state_save(struct state_out *o, const struct state_desc *d, const void *obj, struct err *e)
{
	const size_t start = o->len;
	uint32_t magic = STATE_MAGIC, bytes = 0, crc = 0;

	o->err = 0;
	put(o, &magic, sizeof(magic));
	put(o, &bytes, sizeof(bytes));
	put_record(o, d, obj, 0);
	if (o->err == 0 && o->len - start > UINT32_MAX)
		o->err = -EFBIG;
	if (o->err == 0) {
		bytes = (uint32_t)(o->len - start - STATE_HEAD_BYTES);
		memcpy(o->p + start + sizeof(magic), &bytes, sizeof(bytes));
		crc = state_crc32c(o->p + start, o->len - start);
		put(o, &crc, sizeof(crc));
	}
	if (o->err < 0) {
		o->len = start;
		return err_set(e, o->err, "%s: cannot save: %s", d->name, strerror(-o->err));
	}
	return 0;
}

/* ---- loading: the stream is hostile, the table is ours and bounds every loop ---- */

static const uint8_t *take(struct state_in *in, size_t n)
{
	const uint8_t *p = in->p;

	if (n > in->left)
		return NULL;
	in->p += n;
	in->left -= n;
	return p;
}

static bool get(struct state_in *in, void *v, size_t n)
{
	const uint8_t *p = take(in, n);

	if (p != NULL)
		memcpy(v, p, n);
	return p != NULL;
}

/* Only harmless characters pass: names end up in messages on terminals and in dialogs. */
static bool get_name(struct state_in *in, char name[static STATE_NAME_MAX + 1])
{
	uint8_t n;

	if (!get(in, &n, sizeof(n)) || n > STATE_NAME_MAX || !get(in, name, n))
		return false;
	name[n] = '\0';
	return strspn(name, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789"
			    "_.-") == n;
}

static int malformed(const struct state_desc *d, struct err *e)
{
	return err_set(e, -EBADMSG, "%s: stream is cut short or malformed", d->name);
}

static int load_record(struct state_in *in, const struct state_desc *d, uint8_t *obj,
		       unsigned depth, struct err *e);

static int load_field(struct state_in *in, const struct state_desc *d, const struct state_field *f,
		      uint8_t *p, unsigned depth, struct err *e)
{
	const size_t bytes = (size_t)f->size * f->count;
	uint8_t type;
	uint32_t count;

	if (!get(in, &type, sizeof(type)) || !get(in, &count, sizeof(count)))
		return malformed(d, e);
	if (type != f->type || count != f->count)
		return err_set(e, -EINVAL, "%s.%s: type %u, count %u where %u, %u belong", d->name,
			       f->name, type, count, f->type, f->count);
	if (type == STATE_T_STRUCT) {
		for (uint32_t i = 0; i < count; i++) {
			int r = load_record(in, f->sub, p + (size_t)i * f->size, depth + 1, e);
			if (r < 0)
				return r;
		}
		return 0;
	}
	const uint8_t *v = take(in, bytes);
	if (v == NULL)
		return malformed(d, e);
	for (size_t i = 0; type == STATE_T_BOOL && i < bytes; i++)
		if (v[i] > 1)
			return err_set(e, -EINVAL, "%s.%s: not a boolean", d->name, f->name);
	memcpy(p, v, bytes);
	return 0;
}

/* The number of entries in the table; ret_i is that of the named one, or the same number. */
static size_t find_field(const struct state_desc *d, const char *name, size_t *ret_i)
{
	size_t n = 0, found = SIZE_MAX;

	for (const struct state_field *f = d->fields; f->name != NULL; f++, n++)
		if (f->type != STATE_T_PAD && strcmp(f->name, name) == 0)
			found = n;
	*ret_i = found < n ? found : n;
	return n;
}

static int load_fields(struct state_in *in, const struct state_desc *d, uint8_t version,
		       uint8_t *obj, unsigned depth, struct err *e)
{
	char name[STATE_NAME_MAX + 1];
	size_t i, n = find_field(d, "", &i);
	auto_free bool *seen = calloc(n + 1, sizeof(*seen)); /* as long as the table */

	if (seen == NULL)
		return err_set(e, -ENOMEM, "%s: out of memory", d->name);
	for (;;) {
		if (!get_name(in, name))
			return malformed(d, e);
		if (name[0] == '\0')
			break;
		find_field(d, name, &i);
		if (i == n || d->fields[i].since > version)
			return err_set(e, -EINVAL, "%s: version %u has no field '%s'", d->name,
				       version, name);
		if (seen[i])
			return err_set(e, -EINVAL, "%s: field '%s' comes twice", d->name, name);
		seen[i] = true;
		int r = load_field(in, d, &d->fields[i], obj + d->fields[i].off, depth, e);
		if (r < 0)
			return r;
	}
	for (i = 0; i < n; i++)
		if (!seen[i] && d->fields[i].type != STATE_T_PAD && d->fields[i].since <= version)
			return err_set(e, -EINVAL, "%s: field '%s' is missing", d->name,
				       d->fields[i].name);
	return 0;
}

static int load_record(struct state_in *in, const struct state_desc *d, uint8_t *obj,
		       unsigned depth, struct err *e)
{
	char name[STATE_NAME_MAX + 1];
	uint8_t version;

	if (depth >= STATE_DEPTH_MAX)
		return err_set(e, -ELOOP, "%s: tables nested too deep", d->name);
	if (!get_name(in, name) || !get(in, &version, sizeof(version)))
		return malformed(d, e);
	if (strcmp(name, d->name) != 0)
		return err_set(e, -EINVAL, "'%s' found where '%s' belongs", name, d->name);
	if (version < d->min_version || version > d->version)
		return err_set(e, -ENOTSUP, "%s: version %u, this build reads %u to %u", d->name,
			       version, d->min_version, d->version);
	int r = load_fields(in, d, version, obj, depth, e);
	return r == 0 && d->post_load != NULL ? d->post_load(obj, e) : r;
}

int state_load(struct state_in *in, const struct state_desc *d, void *obj, struct err *e)
{
	struct state_in s = *in;
	uint32_t magic, bytes, crc;

	if (!get(&s, &magic, sizeof(magic)) || !get(&s, &bytes, sizeof(bytes)) ||
	    magic != STATE_MAGIC || s.left < STATE_TAIL_BYTES || bytes > s.left - STATE_TAIL_BYTES)
		return malformed(d, e);
	struct state_in body = { .p = take(&s, bytes), .left = bytes };
	if (!get(&s, &crc, sizeof(crc)) ||
	    crc != state_crc32c(in->p, STATE_HEAD_BYTES + (size_t)bytes))
		return err_set(e, -EBADMSG, "%s: checksum differs, the stream is damaged", d->name);

	auto_free uint8_t *scratch = calloc(1, d->size);
	if (scratch == NULL)
		return err_set(e, -ENOMEM, "%s: out of memory", d->name);
	if (d->init != NULL)
		d->init(scratch);
	int r = load_record(&body, d, scratch, 0, e);
	if (r < 0)
		return r;
	if (body.left != 0)
		return malformed(d, e);
	memcpy(obj, scratch, d->size); /* the only write to the live object */
	*in = s;
	return 0;
}
