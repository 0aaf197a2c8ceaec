/* Random programs: see blocks.h. */
#include "blocks.h"

static uint64_t rnd_state;

void blocks_seed(uint64_t seed)
{
	rnd_state = seed * 0x9e3779b97f4a7c15ull | 1;
	for (unsigned i = 0; i < 8; i++)
		blocks_rnd();
}

uint64_t blocks_rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state * 0x2545f4914f6cdd1dull;
}

static unsigned below(unsigned n)
{
	return (unsigned)(blocks_rnd() >> 33) % n;
}

static bool chance(unsigned of)
{
	return below(of) == 0;
}

/* ---- registers: numbers as encoded ---- */

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

static const uint8_t pointers[] = { RBX, RBP, RSI, RDI, R8, R12, R14 };
static const uint8_t values[] = { RAX, RDX, R10, R11 };
static const uint8_t indices[] = { RCX, R9 }; /* 0 to 63 */

static unsigned value(void)
{
	return values[below(HV_ARRAY_LEN(values))];
}

static unsigned pointer(void)
{
	return pointers[below(HV_ARRAY_LEN(pointers))];
}

static unsigned any(void)
{
	return chance(3) ? pointer() : chance(4) ? indices[below(2)] : value();
}

/* ---- bytes ---- */

static void put(struct program *p, unsigned n, ...)
{
	va_list ap;

	va_start(ap, n);
	while (n-- > 0)
		p->code[p->len++] = (uint8_t)va_arg(ap, int);
	va_end(ap);
}

static void put_le(struct program *p, uint64_t x, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p->code[p->len++] = (uint8_t)(x >> 8 * i);
}

struct mem {
	bool rip, has_index;
	uint8_t base, index, scale;
	int32_t disp;
};

static struct mem operand(void)
{
	struct mem m = { .base = (uint8_t)pointer(), .rip = chance(12), .has_index = chance(4) };

	if (chance(8))
		m.base = RSP;
	m.index = indices[below(2)];
	m.scale = (uint8_t)below(4);
	m.disp = (int32_t)below(256) - 64;
	if (!chance(3))
		m.disp &= ~7;
	if (chance(16))
		m.disp += (int32_t)below(3) * 700;
	if (m.rip)
		m.disp = (int32_t)(below(3) * 4096 + below(4096));
	return m;
}

/* ModRM, SIB, displacement; tail: bytes of the instruction behind them. */
static void put_mem(struct program *p, unsigned reg, const struct mem *m, unsigned tail)
{
	reg = (reg & 7) << 3;
	if (m->rip) {
		put(p, 1, 0x05 | reg);
		put_le(p, BLOCKS_DATA + (uint32_t)m->disp - (BLOCKS_CODE + p->len + 4 + tail), 4);
		return;
	}
	bool small = m->disp == (int8_t)m->disp;

	if (m->has_index || (m->base & 7) == RSP)
		put(p, 2, (small ? 0x44 : 0x84) | reg,
		    m->scale << 6 | (m->has_index ? (m->index & 7) << 3 : 0x20) | (m->base & 7));
	else
		put(p, 1, (small ? 0x40 : 0x80) | reg | (m->base & 7));
	put_le(p, (uint32_t)m->disp, small ? 1 : 4);
}

static unsigned rex_mem(unsigned reg, const struct mem *m)
{
	unsigned b = m->rip ? 0 : m->base >> 3, x = m->has_index && !m->rip ? m->index >> 3 : 0;

	return 0x40 | (reg >> 3) << 2 | x << 1 | b;
}

/* [prefix] REX [0f] op with a memory operand or a register. */
static void op_rm(struct program *p, unsigned prefix, bool wide, unsigned map, unsigned op,
		  unsigned reg, int rm, unsigned tail)
{
	struct mem m = operand();
	unsigned rex = rm >= 0 ? 0x40 | (reg >> 3) << 2 | (unsigned)rm >> 3 : rex_mem(reg, &m);

	if (prefix != 0)
		put(p, 1, prefix);
	put(p, 1, rex | wide << 3);
	if (map >= 1)
		put(p, 1, 0x0f);
	if (map == 2)
		put(p, 1, 0x38);
	put(p, 1, op);
	if (rm >= 0)
		put(p, 1, 0xc0 | (reg & 7) << 3 | ((unsigned)rm & 7));
	else
		put_mem(p, reg, &m, tail);
}

static void vex(struct program *p, unsigned map, unsigned pp, bool w, bool l, unsigned op,
		unsigned reg, unsigned vvvv, int rm)
{
	struct mem m = operand();
	unsigned rex = rm >= 0 ? (reg >> 3) << 2 | (unsigned)rm >> 3 : rex_mem(reg, &m);

	put(p, 4, 0xc4, (~rex & 7) << 5 | map, w << 7 | (~vvvv & 15) << 3 | l << 2 | pp, op);
	if (rm >= 0)
		put(p, 1, 0xc0 | (reg & 7) << 3 | ((unsigned)rm & 7));
	else
		put_mem(p, reg, &m, 0);
}

/* ---- groups of instructions ---- */

static int rm_or_mem(unsigned of)
{
	return chance(of) ? (int)value() : -1;
}

static void alu(struct program *p)
{
	unsigned which = below(8) * 8;
	bool wide = chance(2);

	switch (below(4)) {
	case 0: /* r, rm */
		op_rm(p, 0, wide, 0, which + 3, value(), chance(3) ? (int)any() : -1, 0);
		break;
	case 1: /* rm, r */
		op_rm(p, 0, wide, 0, which + 1, any(), rm_or_mem(3), 0);
		break;
	case 2:
		op_rm(p, 0, wide, 0, 0x83, which / 8, rm_or_mem(3), 1);
		put(p, 1, below(256));
		break;
	default: /* bytes */
		op_rm(p, 0, false, 0, which + (chance(2) ? 0 : 2), value(), rm_or_mem(3), 0);
	}
}

static void mov(struct program *p)
{
	bool wide = chance(2);

	switch (below(6)) {
	case 0:
	case 1:
		op_rm(p, 0, wide, 0, 0x8b, value(), -1, 0);
		break;
	case 2:
		op_rm(p, 0, wide, 0, 0x89, any(), -1, 0);
		break;
	case 3:
		op_rm(p, chance(3) ? 0x66 : 0, false, 0, chance(2) ? 0x88 : 0x8a, value(), -1, 0);
		break;
	case 4:
		op_rm(p, 0, wide, 0, 0xc7, 0, rm_or_mem(3), 4);
		put_le(p, blocks_rnd(), 4);
		break;
	default: /* movzx, movsx */
		op_rm(p, 0, wide, 1, (chance(2) ? 0xb6 : 0xbe) + below(2), value(), rm_or_mem(3),
		      0);
	}
}

static void unary(struct program *p)
{
	static const uint8_t ops[][2] = { { 0xf7, 2 }, { 0xf7, 3 }, { 0xff, 0 }, { 0xff, 1 },
					  { 0xf7, 4 }, { 0xf7, 5 }, { 0xf6, 4 } };
	unsigned n = below(HV_ARRAY_LEN(ops));

	op_rm(p, 0, chance(2), 0, ops[n][0], ops[n][1], rm_or_mem(2), 0);
}

static void divide(struct program *p)
{
	put(p, 2, 0x31, 0xd2); /* xor edx, edx */
	op_rm(p, 0, chance(2), 0, 0xf7, 6 + below(2), chance(2) ? (int)R10 : -1, 0);
}

static void shift(struct program *p)
{
	unsigned how = below(8);

	if (how == 6)
		how = 4;
	if (chance(2)) {
		op_rm(p, 0, chance(2), 0, 0xd3, how, rm_or_mem(2), 0);
		return;
	}
	op_rm(p, 0, chance(2), 0, 0xc1, how, rm_or_mem(2), 1);
	put(p, 1, below(64));
}

static void locked(struct program *p)
{
	unsigned lock = chance(2) ? 0xf0 : 0;

	switch (below(3)) {
	case 0:
		op_rm(p, lock, chance(2), 1, 0xc1, value(), -1, 0); /* xadd */
		break;
	case 1:
		op_rm(p, lock, chance(2), 1, 0xb1, value(), -1, 0); /* cmpxchg */
		break;
	default:
		op_rm(p, 0, chance(2), 0, 0x87, value(), rm_or_mem(4), 0); /* xchg */
	}
}

static void flags(struct program *p)
{
	switch (below(4)) {
	case 0:
		op_rm(p, 0, false, 1, 0x90 + below(16), 0, rm_or_mem(2), 0); /* setcc */
		break;
	case 1:
		op_rm(p, 0, chance(2), 1, 0x40 + below(16), value(), rm_or_mem(2), 0); /* cmov */
		break;
	case 2:
		op_rm(p, 0, chance(2), 1, 0xba, 4 + below(4), rm_or_mem(2), 1); /* bt… */
		put(p, 1, below(32));
		break;
	default:
		op_rm(p, 0xf3, chance(2), 1, chance(2) ? 0xb8 : 0xbc, value(), rm_or_mem(2), 0);
	}
}

/* AH to BH: no REX, so only low registers; BH would be a pointer's. */
static void high_byte(struct program *p)
{
	static const uint8_t ops[] = { 0x00, 0x08, 0x20, 0x28, 0x30, 0x38, 0x88, 0x84, 0x02, 0x8a };
	static const uint8_t regs[] = { 0, 2, 4, 6 }; /* AL, DL, AH, DH */

	put(p, 2, ops[below(HV_ARRAY_LEN(ops))], 0xc0 | regs[below(4)] << 3 | regs[below(4)]);
}

static void high_byte_mem(struct program *p)
{
	struct mem m = { .base = (uint8_t)(chance(2) ? RBX : RSI), .disp = (int32_t)below(64) };

	put(p, 1, chance(2) ? 0x88 : chance(2) ? 0x8a : 0x00);
	put_mem(p, chance(2) ? 4 : 6, &m, 0);
}

static void move_pointer(struct program *p)
{
	unsigned r = pointer(), n = below(3) * 8 + below(2) * below(8);

	switch (below(5)) {
	case 0:
		put(p, 4, 0x48 | r >> 3, 0x83, 0xc0 | (r & 7), n); /* add r, n */
		break;
	case 1:
		put(p, 4, 0x48 | r >> 3, 0x83, 0xe8 | (r & 7), n); /* sub r, n */
		break;
	case 2: { /* lea r, [s + n] */
		struct mem m = { .base = (uint8_t)pointer(), .disp = (int32_t)n };

		put(p, 2, 0x48 | (rex_mem(r, &m) & 7), 0x8d);
		put_mem(p, r, &m, 0);
		break;
	}
	case 3: {
		unsigned s = pointer();

		put(p, 3, 0x48 | (s >> 3) << 2 | r >> 3, 0x89, 0xc0 | (s & 7) << 3 | (r & 7));
		break;
	}
	default:
		put(p, 3, 0x48 | r >> 3, 0xff, 0xc0 | below(2) << 3 | (r & 7)); /* inc, dec */
	}
}

static void stack(struct program *p)
{
	unsigned r = value();

	if (chance(2)) {
		put(p, 2, 0x40 | r >> 3, 0x50 | (r & 7));
		if (chance(2))
			alu(p);
		r = value();
		put(p, 2, 0x40 | r >> 3, 0x58 | (r & 7));
	} else if (chance(2)) {
		put(p, 2, 0x6a, below(256));
		put(p, 4, 0x48, 0x83, 0xc4, 8); /* add rsp, 8 */
	} else {
		op_rm(p, 0, false, 0, 0xff, 6, -1, 0); /* push m */
		put(p, 2, 0x40 | r >> 3, 0x58 | (r & 7));
	}
}

static void sse(struct program *p)
{
	static const struct {
		uint8_t prefix, op;
		bool store;
	} ops[] = {
		{ 0, 0x10, 0 },	   { 0, 0x11, 1 },    { 0, 0x28, 0 },	 { 0, 0x29, 1 },
		{ 0x66, 0x6f, 0 }, { 0xf3, 0x6f, 0 }, { 0xf3, 0x7f, 1 }, { 0, 0x58, 0 },
		{ 0xf2, 0x59, 0 }, { 0xf2, 0x10, 0 }, { 0xf2, 0x11, 1 }, { 0x66, 0xef, 0 },
		{ 0x66, 0x2e, 0 }, { 0x66, 0xfe, 0 }, { 0xf3, 0x5e, 0 }, { 0x66, 0xd6, 1 },
	};
	unsigned n = below(HV_ARRAY_LEN(ops));

	op_rm(p, ops[n].prefix, false, 1, ops[n].op, below(16),
	      chance(3) && !ops[n].store ? (int)below(16) : -1, 0);
}

static void sse_general(struct program *p)
{
	switch (below(4)) {
	case 0:
		op_rm(p, 0xf2, chance(2), 1, 0x2a, below(16), rm_or_mem(2), 0); /* cvtsi2sd */
		break;
	case 1:
		op_rm(p, 0xf2, chance(2), 1, 0x2c, value(), chance(2) ? (int)below(16) : -1, 0);
		break;
	case 2:
		op_rm(p, 0x66, chance(2), 1, 0x6e, below(16), rm_or_mem(2), 0); /* movd */
		break;
	default:
		op_rm(p, 0x66, chance(2), 1, 0x7e, below(16), rm_or_mem(2), 0);
	}
}

static void avx(struct program *p)
{
	static const uint8_t ops[][3] = { { 1, 0, 0x10 }, { 1, 0, 0x11 }, { 1, 0, 0x28 },
					  { 1, 0, 0x58 }, { 1, 1, 0x59 }, { 1, 1, 0xef },
					  { 2, 1, 0xb8 }, { 1, 1, 0xfe }, { 1, 2, 0x6f } };
	unsigned n = below(HV_ARRAY_LEN(ops));
	bool two = ops[n][2] == 0x10 || ops[n][2] == 0x11 || ops[n][2] == 0x28 || ops[n][2] == 0x6f;

	vex(p, ops[n][0], ops[n][1], false, chance(2), ops[n][2], below(16), two ? 0 : below(16),
	    chance(3) && ops[n][2] != 0x11 ? (int)below(16) : -1);
}

static void bmi(struct program *p)
{
	switch (below(3)) {
	case 0:
		vex(p, 2, 0, chance(2), false, 0xf2, value(), any(), rm_or_mem(2)); /* andn */
		break;
	case 1:
		vex(p, 2, 1 + below(3), chance(2), false, 0xf7, value(), any(), rm_or_mem(2));
		break;
	default:
		vex(p, 2, 3, chance(2), false, 0xf6, R10, R11, rm_or_mem(2)); /* mulx */
	}
}

static void x87(struct program *p)
{
	op_rm(p, 0, false, 0, 0xdd, 0, -1, 0); /* fld m64 */
	switch (below(4)) {
	case 0:
		op_rm(p, 0, false, 0, 0xd8, below(4) == 2 ? 0 : 1, -1, 0); /* fadd, fmul m32 */
		break;
	case 1:
		put(p, 2, 0xd8, 0xc0 + below(2) * 8); /* with st(0) */
		break;
	case 2:
		put(p, 2, 0xd9, 0xe0); /* fchs */
		break;
	default:
		put(p, 2, 0xdf, 0xe0); /* fnstsw ax */
	}
	op_rm(p, 0, false, 0, 0xdd, 3, -1, 0); /* fstp m64 */
}

static void string(struct program *p)
{
	static const uint8_t ops[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xae };

	if (chance(3))
		put(p, 1, 0xf3); /* RCX is small */
	if (chance(3))
		put(p, 1, 0x48);
	put(p, 1, ops[below(HV_ARRAY_LEN(ops))]);
	put(p, 4, 0x48, 0x83, 0xe1, 0x3f); /* and rcx, 63 */
}

typedef void (*group)(struct program *p);
static const group groups[] = { alu,   alu,	    mov,	   mov,	  mov,	  mov,
				unary, shift,	    locked,	   flags, flags,  move_pointer,
				stack, stack,	    sse,	   sse,	  avx,	  high_byte,
				bmi,   sse_general, high_byte_mem, x87,	  string, divide };

static void instruction(struct program *p)
{
	group f = groups[below(HV_ARRAY_LEN(groups))];

	while ((f == divide && !chance(4)) || (f == string && !chance(2)))
		f = groups[below(HV_ARRAY_LEN(groups))];
	f(p);
}

static void some(struct program *p, unsigned n)
{
	while (n-- > 0)
		instruction(p);
}

/* ---- the program ---- */

/* A jump over a few instructions. */
static void branch(struct program *p)
{
	put(p, 2, 0x70 | below(16), 0);
	unsigned from = p->len;

	some(p, 1 + below(3));
	p->code[from - 1] = (uint8_t)(p->len - from);
}

static void inner_loop(struct program *p)
{
	unsigned top;

	put(p, 2, 0x41, 0xbd); /* mov r13d, n */
	put_le(p, 1 + below(6), 4);
	top = p->len;
	some(p, 1 + below(5));
	if (chance(2))
		move_pointer(p);
	put(p, 3, 0x41, 0xff, 0xcd); /* dec r13d */
	put(p, 2, 0x0f, 0x85);	     /* jnz top */
	put_le(p, top - (p->len + 4), 4);
}

static void row_of_table(struct program *p)
{
	static const uint8_t all[] = { RBX, RBP, RSI, RDI, R8, R12, R14, RSP, RCX, R9 };

	put(p, 3, 0x4c, 0x89, 0xf8);	/* mov rax, r15 */
	put(p, 4, 0x48, 0xc1, 0xe0, 7); /* shl rax, 7: BLOCKS_ROW */
	put(p, 3, 0x48, 0x8d, 0x80);	/* lea rax, [rax + table] */
	put_le(p, BLOCKS_TABLE, 4);
	for (unsigned i = 0; i < HV_ARRAY_LEN(all); i++)
		put(p, 4, 0x48 | (all[i] >> 3) << 2, 0x8b, 0x40 | (all[i] & 7) << 3, i * 8);
}

static unsigned call(struct program *p)
{
	put(p, 1, 0xe8);
	put_le(p, 0, 4);
	return p->len;
}

void blocks_program(struct program *p)
{
	unsigned calls[8], n_calls = 0, size = 4 + below(30), top;

	p->len = below(2) ? 0 : BLOCKS_PAGE - 16 - below(200);
	p->start = p->len;
	top = p->len;
	row_of_table(p);
	for (unsigned i = 0; i < size; i++) {
		if (chance(6))
			branch(p);
		else if (chance(14))
			inner_loop(p);
		else if (chance(14) && n_calls < HV_ARRAY_LEN(calls))
			calls[n_calls++] = call(p);
		else
			instruction(p);
	}
	p->next = p->len;
	put(p, 3, 0x49, 0xff, 0xcf); /* dec r15 */
	put(p, 2, 0x0f, 0x85);	     /* jnz top */
	put_le(p, top - (p->len + 4), 4);
	put(p, 2, 0x0f, 0x0b); /* ud2: the end */
	for (unsigned i = 0; i < n_calls; i++) {
		uint32_t to = p->len - calls[i];

		for (unsigned k = 0; k < 4; k++)
			p->code[calls[i] - 4 + k] = (uint8_t)(to >> 8 * k);
		some(p, 1 + below(4));
		put(p, 1, 0xc3);
	}
}

static uint64_t good_pointer(uint64_t region)
{
	unsigned page = below(200);
	uint64_t a = region + (page == 0 ? 3 : page == 1 ? 6 : page % 3) * BLOCKS_PAGE;

	if (region == BLOCKS_STACK)
		a = region + (1 + below(3)) * BLOCKS_PAGE;
	a += chance(2) ? BLOCKS_PAGE - below(160) : below(BLOCKS_PAGE);
	return chance(4) ? a : a & ~(region == BLOCKS_STACK ? 7ull : 15ull);
}

void blocks_row(uint64_t row[16])
{
	for (unsigned i = 0; i < 7; i++)
		row[i] = i > 0 && chance(3) ? row[below(i)] : good_pointer(BLOCKS_DATA);
	row[7] = good_pointer(BLOCKS_STACK);
	row[8] = below(64);
	row[9] = below(64);
}
