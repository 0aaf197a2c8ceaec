/* Register and memory contents: random bits, and the values at which arithmetic changes its ways.
 */
#include "oracle.h"
#include <string.h>
#include "cpu/x86_defs.h"

/* xorshift64*: fixed seeds give fixed cases. */
uint64_t rnd(struct rng *r)
{
	r->s ^= r->s >> 12;
	r->s ^= r->s << 25;
	r->s ^= r->s >> 27;
	return r->s * 0x2545f4914f6cdd1dull;
}

static uint64_t gen_int(struct rng *r)
{
	static const uint64_t edges[] = {
		0,
		1,
		2,
		0x7f,
		0x80,
		0xff,
		0x7fff,
		0x8000,
		0xffff,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x7fffffffffffffff,
		0x8000000000000000,
		0xffffffffffffffff,
		0xffffffff80000000,
		0xffffffffffff8000,
		0xffffffffffffff80,
	};

	switch (below(r, 5)) {
	case 0:
		return edges[below(r, sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return below(r, 256);
	case 2:
		return rnd(r) >> below(r, 64);
	default:
		return rnd(r);
	}
}

void gen_registers(struct rng *r, struct cpu *c)
{
	for (unsigned k = 0; k < 16; k++)
		c->gpr[k] = gen_int(r);
	c->rflags = X86_FL_FIXED | X86_FL_IF | (rnd(r) & X86_FL_STATUS);
	if (below(r, 8) == 0)
		c->rflags |= X86_FL_DF;
	if (below(r, 16) == 0)
		c->rflags |= X86_FL_AC;
}

static uint32_t gen_float(struct rng *r)
{
	static const uint32_t edges[] = {
		0,	    0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
		0x7fc00000, 0x7f800001, 0xffc12345, 0x00000001, 0x807fffff, 0x7f7fffff,
		0x00800000, 0x4f000000, 0xcf000000, 0x5f000000, 0x3f000000, 0x4b000001,
	};

	if (below(r, 2) == 0)
		return edges[below(r, sizeof(edges) / sizeof(edges[0]))];
	return (uint32_t)((rnd(r) & 0x807fffff) | (0x3f800000 + ((below(r, 40) - 20) << 23)));
}

static uint64_t gen_double(struct rng *r)
{
	static const uint64_t edges[] = {
		0,
		0x8000000000000000,
		0x3ff0000000000000,
		0xbff0000000000000,
		0x7ff0000000000000,
		0xfff0000000000000,
		0x7ff8000000000000,
		0x7ff0000000000001,
		0xfff8123456789abc,
		1,
		0x800fffffffffffff,
		0x7fefffffffffffff,
		0x0010000000000000,
		0x41e0000000000000,
		0xc1e0000000000000,
		0x43e0000000000000,
		0x3fe0000000000000,
		0x4330000000000001,
		0x36a0000000000000,
		0x47f0000000000000,
	};

	if (below(r, 2) == 0)
		return edges[below(r, sizeof(edges) / sizeof(edges[0]))];
	return (rnd(r) & 0x800fffffffffffff) | ((0x3ff0ull + (below(r, 80) - 40) * 16) << 48);
}

static void gen_extended(struct rng *r, uint8_t *p)
{
	static const uint16_t exponents[] = { 0, 1, 0x3fff, 0x7ffe, 0x7fff, 0x403e, 0x3f80 };
	uint64_t m = below(r, 3) == 0 ? 1ull << 63 : rnd(r) | 1ull << 63;
	uint16_t e = (uint16_t)(0x3fff + below(r, 80) - 40);

	if (below(r, 3) == 0)
		e = exponents[below(r, sizeof(exponents) / sizeof(exponents[0]))];
	if (below(r, 8) == 0) /* zeros, pseudo-denormals, unnormals */
		m = below(r, 2) == 0 ? 0 : rnd(r);
	e |= (uint16_t)(below(r, 2) << 15);
	memcpy(p, &m, 8);
	memcpy(p + 8, &e, 2);
	memset(p + 10, 0, 6);
}

/* n: a multiple of 8. */
static void fill_kind(struct rng *r, uint8_t *p, unsigned n, unsigned kind)
{
	for (unsigned k = 0; k < n; k += 8) {
		uint64_t x;

		switch (kind) {
		case 0:
			x = gen_float(r) | (uint64_t)gen_float(r) << 32;
			break;
		case 1:
			x = gen_double(r);
			break;
		case 2:
			x = below(r, 2) == 0 ? 0 : ~0ull;
			break;
		case 3:
			x = gen_int(r);
			break;
		default:
			x = rnd(r);
		}
		memcpy(p + k, &x, 8);
	}
}

void gen_bytes(struct rng *r, uint8_t *p, unsigned n)
{
	unsigned kind = (unsigned)below(r, 7);

	fill_kind(r, p, n & ~7u, kind);
	for (unsigned k = 0; kind == 6 && k + 16 <= n; k += 16)
		gen_extended(r, p + k);
}

void gen_fpu(struct rng *r, struct fpu *f)
{
	memset(f, 0, sizeof(*f));
	f->fcw = (uint16_t)(0x7f | (below(r, 4) << 10));
	f->fcw |= (uint16_t)(below(r, 3) == 0 ? below(r, 4) << 8 : 0x300);
	if (below(r, 8) == 0)
		f->fcw &= (uint16_t)(0xffc0 | rnd(r));
	f->fsw = (uint16_t)(below(r, 4) == 0 ? rnd(r) & 0x7f7f : below(r, 2) == 0 ? 0x3800 : 0);
	if (f->fsw & ~f->fcw & 0x3f) /* the summary follows, as in any state that was loaded */
		f->fsw |= 0x8080;
	f->ftw = (uint8_t)(below(r, 2) == 0 ? rnd(r) : 0xff);
	f->mxcsr = 0x1f80;
	if (below(r, 2) == 0)
		f->mxcsr |= (uint32_t)(rnd(r) & 0xe07f);
	if (below(r, 8) == 0)
		f->mxcsr &= (uint32_t)(0xe07f | (rnd(r) & 0x1f80));
	for (unsigned k = 0; k < 8; k++)
		gen_extended(r, f->st[k]);
	unsigned kind = (unsigned)below(r, 6);

	for (unsigned k = 0; k < 16; k++) {
		fill_kind(r, f->xmm[k], 16, below(r, 4) == 0 ? (unsigned)below(r, 6) : kind);
		fill_kind(r, f->ymmh[k], 16, below(r, 4) == 0 ? (unsigned)below(r, 6) : kind);
	}
	f->bv = 7;
}
