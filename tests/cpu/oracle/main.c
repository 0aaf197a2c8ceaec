/*
 * oracle [--cases N] [--seed S] [--match TEXT] [--list]: runs N cases of every form on the host CPU
 * and in the soft engine, says what differs, and fails if anything does or a form has too few.
 */
#include "oracle.h"
#include <stdlib.h>
#include <string.h>

struct options {
	unsigned cases;
	uint64_t seed;
	const char *match; /* O: only forms whose name contains it */
	bool list;
	unsigned show; /* differences shown of each form */
};

struct totals {
	unsigned forms[N_MODES], cases, faults, different, bad_forms, few;
};

static void apply(const struct patch *p)
{
	uint32_t at = p->at;

	for (uint32_t k = 0; k < p->len; k++, at++)
		if (at < DATA_BYTES)
			native_data()[at] = guest_data()[at] = p->bytes[k];
}

static void print_case(const struct form *f, const struct test_case *t, const char *diff)
{
	printf("DIFF %s:", f->key);
	for (unsigned k = 0; k < t->len; k++)
		printf(" %02x", t->bytes[k]);
	printf("%s%s rsp %#llx rbp %#llx operand %#x:%s\n", t->step ? " (step)" : "",
	       t->based && t->mode == MODE_32 ? " (based)" : "",
	       (unsigned long long)t->in.gpr[X86_RSP], (unsigned long long)t->in.gpr[X86_RBP],
	       t->target, diff);
}

static bool run_case(struct form *f, const struct test_case *t, bool show)
{
	struct outcome n, g;
	char diff[2048];

	apply(&t->mem);
	apply(&t->stack);
	memset(&n, 0, sizeof(n));
	native_run(t, &n);
	f->cases++;
	f->faults += n.vector != 1 && n.vector != 3;
	if (!guest_run(t, &g)) {
		memcpy(guest_data(), native_data(), DATA_BYTES);
		snprintf(diff, sizeof(diff), " the guest did not come to an end");
	} else if (compare(t, &n, &g, diff, sizeof(diff)) == 0) {
		return true;
	}
	if (show)
		print_case(f, t, diff);
	return false;
}

static void run_form(struct form *f, const struct options *o, struct totals *s)
{
	struct rng r = { .s = o->seed };
	static struct test_case t;
	unsigned bad = 0;

	for (const char *k = f->key; *k != '\0'; k++)
		r.s = (r.s ^ (unsigned char)*k) * 0x100000001b3ull;
	r.s |= 1;
	for (unsigned tries = 0; f->cases < o->cases && tries < o->cases * 200 + 2000; tries++)
		if (gen_case(&r, f, &t) && !run_case(f, &t, bad < o->show))
			bad++;
	s->forms[f->mode]++;
	s->cases += f->cases;
	s->faults += f->faults;
	s->different += bad;
	s->bad_forms += bad != 0;
	if (f->cases < o->cases) {
		printf("FEW %s: only %u cases\n", f->key, f->cases);
		s->few++;
	}
	if (o->list)
		printf("%s: %u cases, %u faulted, %u differ\n", f->key, f->cases, f->faults, bad);
}

static void fill_windows(uint64_t seed)
{
	struct rng r = { .s = seed | 1 };
	uint8_t page[4096];

	for (unsigned k = 0; k < DATA_BYTES; k++)
		native_data()[k] = guest_data()[k] = (uint8_t)rnd(&r);
	for (unsigned k = 0; k < sizeof(page); k++)
		page[k] = (uint8_t)rnd(&r);
	native_read_only(page);
	guest_read_only(page);
}

static bool parse(int argc, char **argv, struct options *o)
{
	for (int k = 1; k < argc; k++) {
		bool more = k + 1 < argc;

		if (strcmp(argv[k], "--list") == 0)
			o->list = true;
		else if (strcmp(argv[k], "--cases") == 0 && more)
			o->cases = (unsigned)strtoul(argv[++k], NULL, 0);
		else if (strcmp(argv[k], "--seed") == 0 && more)
			o->seed = strtoull(argv[++k], NULL, 0);
		else if (strcmp(argv[k], "--match") == 0 && more)
			o->match = argv[++k];
		else if (strcmp(argv[k], "--show") == 0 && more)
			o->show = (unsigned)strtoul(argv[++k], NULL, 0);
		else
			return false;
	}
	return o->cases > 0;
}

int main(int argc, char **argv)
{
	struct options o = { .cases = 8, .seed = 0x10d6e, .show = 2 };
	struct form_table forms = { 0 };
	struct totals s = { 0 };

	if (!parse(argc, argv, &o)) {
		fprintf(stderr, "usage: oracle [--cases N] [--seed S] [--match TEXT] [--list] "
				"[--show N]\n");
		return 2;
	}
	if (guest_start() < 0 || native_start() < 0 || forms_make(&forms) < 0)
		return 1;
	fill_windows(o.seed);
	for (unsigned k = 0; k < forms.n; k++)
		if (o.match == NULL || strstr(forms.f[k].key, o.match) != NULL)
			run_form(&forms.f[k], &o, &s);
	printf("forms: %u 64-bit, %u 32-bit, %u 16-bit; %u cases each, %u in all, of which %u "
	       "faulted\n",
	       s.forms[MODE_64], s.forms[MODE_32], s.forms[MODE_16], o.cases, s.cases, s.faults);
	printf("%u cases of %u forms differ; %u forms have too few cases\n", s.different,
	       s.bad_forms, s.few);
	if (o.list)
		forms_left_out();
	free(forms.f);
	guest_stop();
	return s.different != 0 || s.few != 0 || s.cases == 0;
}
