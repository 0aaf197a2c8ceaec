/*
 * hv-core/state: streams. Saved and loaded they are the same; what another build or a forger wrote
 * is refused with a reason; damage anywhere is refused or harmless, and never changes the object.
 */
#include "ctest.h"
#include "state/state.h"

static struct err error;
static uint64_t seed = 88172645463325252u;

/* Every byte of the struct belongs to exactly one entry; names and versions are in order. */
static bool covers(const struct state_desc *d, unsigned depth)
{
	auto_free uint8_t *map = calloc(d->size, 1);

	if (map == NULL || depth >= STATE_DEPTH_MAX || strlen(d->name) > STATE_NAME_MAX)
		return false;
	for (const struct state_field *f = d->fields; f->name != NULL; f++) {
		if (strlen(f->name) > STATE_NAME_MAX || f->since < 1 || f->since > d->version)
			return false;
		if ((f->type == STATE_T_STRUCT) != (f->sub != NULL))
			return false;
		if (f->sub != NULL && (f->sub->size != f->size || !covers(f->sub, depth + 1)))
			return false;
		for (size_t i = f->off; i < f->off + (size_t)f->size * f->count; i++)
			if (i >= d->size || map[i]++ != 0)
				return false;
	}
	return memchr(map, 0, d->size) == NULL;
}

/* Makes length and checksum right again, so that the decoder itself meets the damage. */
static void reseal(uint8_t *p, size_t n)
{
	uint32_t bytes = (uint32_t)(n - STATE_HEAD_BYTES - STATE_TAIL_BYTES), crc;

	memcpy(p + 4, &bytes, sizeof(bytes));
	crc = state_crc32c(p, n - STATE_TAIL_BYTES);
	memcpy(p + n - STATE_TAIL_BYTES, &crc, sizeof(crc));
}

/* A refused stream changes nothing. */
static bool load(const struct state_desc *d, void *obj, const uint8_t *p, size_t n)
{
	auto_free void *was = malloc(d->size);
	struct state_in in = { p, n };

	assert_non_null(was);
	memcpy(was, obj, d->size);
	if (state_load(&in, d, obj, &error) < 0) {
		assert_memory_equal(was, obj, d->size);
		assert_ptr_equal(in.p, p);
		return false;
	}
	assert_int_equal(in.left, 0);
	return true;
}

/* Cut or lengthened anywhere it is refused; 2000 flipped bits are refused or harmless. */
static void damage(const struct state_desc *d, void *obj, const struct state_out *s)
{
	auto_free uint8_t *p = malloc(s->len + 1);

	assert_non_null(p);
	for (size_t n = 0; n <= s->len + 1; n++) {
		memcpy(p, s->p, n < s->len ? n : s->len);
		assert_true(n >= s->len || !load(d, obj, p, n));
		if (n >= STATE_HEAD_BYTES + STATE_TAIL_BYTES && n != s->len) {
			reseal(p, n);
			assert_false(load(d, obj, p, n));
		}
	}
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t bit = test_rnd(&seed) % (s->len * 8);
		memcpy(p, s->p, s->len);
		p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(load(d, obj, p, s->len));
		reseal(p, s->len);
		(void)load(d, obj, p, s->len);
	}
}

/* Saves from with the table w and loads it into to with the table r. */
static int across(const struct state_desc *w, const void *from, const struct state_desc *r,
		  void *to)
{
	auto_state_out struct state_out s = { 0 };

	assert_ok(state_save(&s, w, from, &error), &error);
	return state_load(&(struct state_in){ s.p, s.len }, r, to, &error);
}

/* ---- more fields than a machine word has bits ---- */

/* clang-format off */
#define EIGHT(X, n) X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7)
#define ALL72(X) EIGHT(X, a) EIGHT(X, b) EIGHT(X, c) EIGHT(X, d) EIGHT(X, e) EIGHT(X, f) \
	EIGHT(X, g) EIGHT(X, h) EIGHT(X, i)
#define MEMBER(m) uint16_t m;
#define ENTRY(m) STATE(struct wide, m),
STATE_LAYOUT_BEGIN
struct wide { ALL72(MEMBER) };
struct leg { int32_t x; bool up[4]; };
struct bug { int64_t born; struct leg leg[6]; uint32_t legs_v2; uint8_t pad_[4]; };
STATE_LAYOUT_END
static const struct state_field wide_fields[] = { ALL72(ENTRY) STATE_END };
/* clang-format on */

/* None may be missing, none may come twice. */
static void test_wide(void **state)
{
	enum { N = HV_ARRAY_LEN(wide_fields) };
	struct wide from, to, was;
	struct state_field edit[N + 1];
	const struct state_desc d = { "wide", 1, 1, sizeof(from), wide_fields, NULL, NULL };
	struct state_desc w = d;
	(void)state;

	memset(&from, 0x5a, sizeof(from));
	memset(&was, 0, sizeof(was));
	to = was;
	w.fields = edit;
	assert_true(N == 73 && covers(&d, 0));
	for (size_t k = 0; k < N - 1; k++) {
		memcpy(edit, wide_fields, k * sizeof(edit[0]));
		memcpy(edit + k, wide_fields + k + 1, (N - k - 1) * sizeof(edit[0]));
		assert_false(covers(&w, 0));
		assert_int_equal(across(&w, &from, &d, &to), -EINVAL);
		assert_true(strstr(error.msg, "missing") && strstr(error.msg, wide_fields[k].name));
		memcpy(edit + k + 1, wide_fields + k, (N - k) * sizeof(edit[0]));
		edit[k] = wide_fields[k];
		assert_false(covers(&w, 0));
		assert_int_equal(across(&w, &from, &d, &to), -EINVAL);
		assert_non_null(strstr(error.msg, "twice"));
		assert_memory_equal(&to, &was, sizeof(to));
	}
	assert_int_equal(across(&d, &from, &d, &to), 0);
	assert_memory_equal(&from, &to, sizeof(to));
}

/* ---- tables in tables, older and younger versions ---- */

static int leg_post_load(void *obj, struct err *e)
{
	return ((struct leg *)obj)->x < 0 ? err_set(e, -EINVAL, "leg: x is negative") : 0;
}

static void bug_init(void *obj)
{
	*(struct bug *)obj = (struct bug){ .legs_v2 = 6 };
}

static const struct state_desc leg_state = {
	.name = "leg",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct leg),
	.post_load = leg_post_load,
	.fields = (const struct state_field[]){ STATE(struct leg, x), STATE_ARRAY(struct leg, up),
						STATE_END },
};
static const struct state_desc bug_state = {
	.name = "bug",
	.version = 2,
	.min_version = 1,
	.size = sizeof(struct bug),
	.init = bug_init,
	.fields = (const struct state_field[]){ STATE(struct bug, born),
						STATE_STRUCTS(struct bug, leg, &leg_state),
						STATE_SINCE(2, struct bug, legs_v2),
						STATE_PAD(struct bug, pad_), STATE_END },
};

/* What another build, or a forger, may write: f and w are the writer's table. */
static void test_nested(void **state)
{
	struct bug from = { .born = -7, .legs_v2 = 8, .leg[5] = { 9, { true } } }, to, was;
	struct state_field f[5];
	struct state_desc w;
	(void)state;

	assert_true(covers(&bug_state, 0));
	memset(&was, 0, sizeof(was));
	to = was;
#define AS(edit, want)                                                                             \
	do {                                                                                       \
		memcpy(f, bug_state.fields, sizeof(f));                                            \
		w = bug_state;                                                                     \
		w.fields = f;                                                                      \
		edit;                                                                              \
		assert_int_equal(across(&w, &from, &bug_state, &to), (want));                      \
		assert_true((want) == 0 || memcmp(&to, &was, sizeof(to)) == 0);                    \
	} while (0)
	AS(w.name = "bee", -EINVAL);
	AS(w.version = 3, -ENOTSUP);
	AS(w.version = 1, -EINVAL); /* has a field of version 2 */
	AS(f[2] = f[4], -EINVAL);   /* has not */
	AS(f[0].type = STATE_T_U64, -EINVAL);
	AS(f[1].count = 5, -EINVAL);
	AS(f[0].name = "b\033rn", -EBADMSG);
	AS(from.leg[4].x = -1, -EINVAL); /* refused by the fifth leg */
	AS(from.leg[4].x = 1; memset(&from.leg[2].up[3], 2, 1), -EINVAL);
	AS(from.leg[2].up[3] = true, 0);
	assert_memory_equal(&from, &to, sizeof(to));
	AS(w.version = 1; f[2] = f[4], 0); /* an older build's: the younger field is as at reset */
	assert_true(to.legs_v2 == 6 && to.leg[5].x == 9);
}

static void test_damage(void **state)
{
	struct bug from = { .born = -7, .legs_v2 = 8 }, to;
	struct state_field f[2] = { STATE_END, STATE_END };
	struct state_desc w = bug_state;
	auto_state_out struct state_out s = { 0 };
	(void)state;

	memset(&to, 0, sizeof(to));
	assert_ok(state_save(&s, &bug_state, &from, &error), &error);
	damage(&bug_state, &to, &s);
	f[0] = (struct state_field){ "self", STATE_T_STRUCT, 1, 0, sizeof(to), 1, &w };
	w.fields = f;
	size_t len = s.len;
	assert_false(covers(&w, 0));
	assert_int_equal(state_save(&s, &w, &from, &error), -ELOOP);
	assert_int_equal(s.len, len);
}

static void test_crc(void **state)
{
	uint8_t buf[300];
	(void)state;

	assert_int_equal(state_crc32c("123456789", 9), 0xe3069283);
	assert_int_equal(state_crc32c_table("123456789", 9), 0xe3069283);
	assert_int_equal(state_crc32c(NULL, 0), 0);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)test_rnd(&seed);
	for (size_t n = 0; n < sizeof(buf); n++) /* every length, odd addresses */
		assert_int_equal(state_crc32c(buf + sizeof(buf) - n, n),
				 state_crc32c_table(buf + sizeof(buf) - n, n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_wide),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
