/*
 * String instructions. Runs of movs and stos within a page of RAM are done by the host's own; the
 * rest goes element by element. RCX, RSI and RDI are right after each element, so that a fault or
 * an interrupt leaves an instruction that can be restarted.
 */
#include "bus/pio.h"
#include "engine/soft/int.h"
#include "engine/soft/key.h"
#include "engine/soft/run.h"

struct str {
	struct soft_vcpu *v;
	const struct insn *i;
	unsigned size; /* of an element */
	int64_t step;  /* size, negative with DF */
	bool rep;
};

static uint64_t wrap(const struct str *s, uint64_t x)
{
	switch (s->i->addr_size) {
	case 8:
		return x;
	case 4:
		return (uint32_t)x;
	default:
		return (uint16_t)x;
	}
}

static uint64_t reg(const struct str *s, unsigned r)
{
	return wrap(s, s->v->s.gpr[r]);
}

static void set_reg(const struct str *s, unsigned r, uint64_t x)
{
	if (s->i->addr_size == 2)
		SET16(s->v, SOFT_REG(r), x);
	else
		s->v->s.gpr[r] = wrap(s, x);
}

static void advance(const struct str *s, unsigned r, int64_t by)
{
	set_reg(s, r, s->v->s.gpr[r] + (uint64_t)by);
}

static struct str begin(struct soft_vcpu *v, const struct insn *i)
{
	struct str s = { .v = v, .i = i, .size = i->op_size };

	s.step = v->s.rflags & X86_FL_DF ? -(int64_t)i->op_size : i->op_size;
	s.rep = i->flags & (INSN_REP | INSN_REPNE);
	return s;
}

/* An address that is not canonical comes to #GP by itself, before #AC. */
static uint64_t aligned(const struct str *s, uint64_t a)
{
	if (HV_UNLIKELY(s->v->key & KEY_ALIGN) && (a & (s->size - 1)) &&
	    (!s->v->code64 || soft_canonical(a)))
		soft_raise_err(s->v, X86_EXC_AC, 0);
	return a;
}

/* Flat, and it does not reach over the end of 4 GiB. */
static bool plain(const struct soft_vcpu *v, unsigned seg, uint64_t off, unsigned size)
{
	return (v->flat >> seg & 1) && (v->code64 || off + size <= 1ull << 32);
}

/* The source may have another segment; the destination is ES. */
static uint64_t src(const struct str *s, bool write)
{
	struct soft_vcpu *v = s->v;
	uint64_t off = reg(s, X86_RSI);

	if (HV_LIKELY(plain(v, s->i->seg, off, s->size)))
		return aligned(s, off);
	return aligned(s, soft_linear(v, s->i->seg, off, s->size, write));
}

static uint64_t dst(const struct str *s, bool write)
{
	struct soft_vcpu *v = s->v;
	uint64_t off = reg(s, X86_RDI);

	if (HV_LIKELY(plain(v, X86_ES, off, s->size)))
		return aligned(s, off);
	return aligned(s, soft_linear(v, X86_ES, off, s->size, write));
}

static uint64_t load(const struct str *s, uint64_t a)
{
	switch (s->size) {
	case 1:
		return soft_ld8(s->v, a);
	case 2:
		return soft_ld16(s->v, a);
	case 4:
		return soft_ld32(s->v, a);
	default:
		return soft_ld64(s->v, a);
	}
}

static void store(const struct str *s, uint64_t a, uint64_t x)
{
	switch (s->size) {
	case 1:
		soft_st8(s->v, a, (uint8_t)x);
		break;
	case 2:
		soft_st16(s->v, a, (uint16_t)x);
		break;
	case 4:
		soft_st32(s->v, a, (uint32_t)x);
		break;
	default:
		soft_st64(s->v, a, x);
	}
}

/* Is something due that must not wait for the instruction's end? */
static bool must_pause(const struct str *s)
{
	const struct soft_vcpu *v = s->v;
	uint32_t req = atomic_load_explicit(&v->hv->requests, memory_order_relaxed);

	if (!(v->s.rflags & X86_FL_IF))
		req &= ~(uint32_t)HV_REQ_INTR;
	return HV_UNLIKELY(req != 0 || (v->slow & ~(uint32_t)SOFT_SLOW_TRACE) || v->want_exit);
}

/* Leaves the instruction unfinished: it starts again with what is left in RCX. */
static void pause_here(const struct str *s)
{
	struct soft_vcpu *v = s->v;

	v->end = s->i + 1;
	v->s.rip = s->i->ip;
	v->stats.instructions--; /* it is counted when it is done */
	if (v->in_code)
		--*v->count;
}

/* After n elements of a repeated instruction: true if there are more to do now. */
static bool go_on(const struct str *s, uint64_t n)
{
	if (!s->rep)
		return false;
	advance(s, X86_RCX, -(int64_t)n);
	if (reg(s, X86_RCX) == 0)
		return false;
	if (must_pause(s)) {
		pause_here(s);
		return false;
	}
	return true;
}

static bool nothing_to_do(const struct str *s)
{
	return s->rep && reg(s, X86_RCX) == 0;
}

/* ---- movs, stos: runs within a page ---- */

static inline uint64_t left_in_page(uint64_t a, unsigned size)
{
	return (4096 - (a & 4095)) / size;
}

static void *host_run(struct soft_vcpu *v, uint64_t a, unsigned bytes, bool write)
{
	const struct soft_tlb_entry *tlb = write ? v->tlb->write : v->tlb->read;
	void *p = soft_tlb_hit(tlb, a, bytes);

	if (p != NULL)
		return p;
	soft_probe(v, a, bytes, write);
	return soft_tlb_hit(tlb, a, bytes);
}

static void host_movs(void *to, const void *from, uint64_t n, unsigned size)
{
	switch (size) {
	case 1:
		__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	case 2:
		__asm__ volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	case 4:
		__asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		break;
	default:
		__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	}
}

static void host_stos(void *to, uint64_t x, uint64_t n, unsigned size)
{
	switch (size) {
	case 1:
		__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(x) : "memory");
		break;
	case 2:
		__asm__ volatile("rep stosw" : "+D"(to), "+c"(n) : "a"(x) : "memory");
		break;
	case 4:
		__asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(x) : "memory");
		break;
	default:
		__asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(x) : "memory");
	}
}

static bool runs_allowed(const struct str *s, bool with_source)
{
	const struct soft_vcpu *v = s->v;
	bool flat = (v->flat >> X86_ES & 1) && (!with_source || (v->flat >> s->i->seg & 1));

	return s->rep && s->step > 0 && flat && !(v->key & KEY_ALIGN) && s->i->addr_size != 2 &&
	       !(v->slow & ~(uint32_t)SOFT_SLOW_TRACE);
}

/* How many elements were moved; 0: one must go the slow way. */
static uint64_t movs_run(const struct str *s)
{
	struct soft_vcpu *v = s->v;
	uint64_t from = reg(s, X86_RSI), to = reg(s, X86_RDI), n = reg(s, X86_RCX);

	n = hv_min_u64(n, left_in_page(from, s->size));
	n = hv_min_u64(n, left_in_page(to, s->size));
	if (n == 0)
		return 0;
	unsigned bytes = (unsigned)n * s->size;

	host_run(v, from, bytes, false);
	void *q = host_run(v, to, bytes, true);
	/* Read anew: translating the second may have dropped the first. */
	const void *p = soft_tlb_hit(v->tlb->read, from, bytes);

	if (p == NULL || q == NULL)
		return 0;
	host_movs(q, p, n, s->size);
	advance(s, X86_RSI, (int64_t)bytes);
	advance(s, X86_RDI, (int64_t)bytes);
	return n;
}

static void movs(struct soft_vcpu *v, const struct insn *i)
{
	const struct str s = begin(v, i);
	uint64_t n;

	if (nothing_to_do(&s))
		return;
	do {
		n = runs_allowed(&s, true) ? movs_run(&s) : 0;
		if (n == 0) {
			uint64_t x = load(&s, src(&s, false));

			store(&s, dst(&s, true), x);
			advance(&s, X86_RSI, s.step);
			advance(&s, X86_RDI, s.step);
			n = 1;
		}
	} while (go_on(&s, n));
}

static uint64_t stos_run(const struct str *s)
{
	struct soft_vcpu *v = s->v;
	uint64_t to = reg(s, X86_RDI), n = reg(s, X86_RCX);

	n = hv_min_u64(n, left_in_page(to, s->size));
	if (n == 0)
		return 0;
	unsigned bytes = (unsigned)n * s->size;
	void *q = host_run(v, to, bytes, true);

	if (q == NULL)
		return 0;
	host_stos(q, v->s.gpr[X86_RAX], n, s->size);
	advance(s, X86_RDI, (int64_t)bytes);
	return n;
}

static void stos(struct soft_vcpu *v, const struct insn *i)
{
	const struct str s = begin(v, i);
	uint64_t n;

	if (nothing_to_do(&s))
		return;
	do {
		n = runs_allowed(&s, false) ? stos_run(&s) : 0;
		if (n == 0) {
			store(&s, dst(&s, true), v->s.gpr[X86_RAX]);
			advance(&s, X86_RDI, s.step);
			n = 1;
		}
	} while (go_on(&s, n));
}

/* ---- lods, scas, cmps ---- */

static void lods(struct soft_vcpu *v, const struct insn *i)
{
	const struct str s = begin(v, i);

	if (nothing_to_do(&s))
		return;
	do {
		uint64_t x = load(&s, src(&s, false));

		switch (s.size) {
		case 1:
			SET8(v, SOFT_REG(X86_RAX), x);
			break;
		case 2:
			SET16(v, SOFT_REG(X86_RAX), x);
			break;
		default:
			SET64(v, SOFT_REG(X86_RAX), x); /* 32 bits are extended */
		}
		advance(&s, X86_RSI, s.step);
	} while (go_on(&s, 1));
}

static uint16_t compare(unsigned size, uint64_t a, uint64_t b)
{
	uint16_t fl;

	switch (size) {
	case 1:
		__asm__("cmpb %b2, %b1" FL_SAVE : "=&a"(fl) : "q"(a), "q"(b) : "cc");
		break;
	case 2:
		__asm__("cmpw %w2, %w1" FL_SAVE : "=&a"(fl) : "q"(a), "q"(b) : "cc");
		break;
	case 4:
		__asm__("cmpl %k2, %k1" FL_SAVE : "=&a"(fl) : "q"(a), "q"(b) : "cc");
		break;
	default:
		__asm__("cmpq %2, %1" FL_SAVE : "=&a"(fl) : "q"(a), "q"(b) : "cc");
	}
	return fl;
}

/* repe goes on while equal, repne while not. */
static bool wanted(const struct str *s)
{
	bool equal = s->v->fl & FL_ZF;

	return s->i->flags & INSN_REPNE ? !equal : equal;
}

static void scas(struct soft_vcpu *v, const struct insn *i)
{
	const struct str s = begin(v, i);

	if (nothing_to_do(&s))
		return;
	for (;;) {
		uint64_t x = load(&s, dst(&s, false));

		v->fl = compare(s.size, v->s.gpr[X86_RAX], x);
		advance(&s, X86_RDI, s.step);
		if (!wanted(&s)) {
			if (s.rep)
				advance(&s, X86_RCX, -1);
			return;
		}
		if (!go_on(&s, 1))
			return;
	}
}

static void cmps(struct soft_vcpu *v, const struct insn *i)
{
	const struct str s = begin(v, i);

	if (nothing_to_do(&s))
		return;
	for (;;) {
		uint64_t a = load(&s, src(&s, false));
		uint64_t b = load(&s, dst(&s, false));

		v->fl = compare(s.size, a, b);
		advance(&s, X86_RSI, s.step);
		advance(&s, X86_RDI, s.step);
		if (!wanted(&s)) {
			if (s.rep)
				advance(&s, X86_RCX, -1);
			return;
		}
		if (!go_on(&s, 1))
			return;
	}
}

/* ---- ins, outs ---- */

static void ins(struct soft_vcpu *v, const struct insn *i)
{
	const struct str s = begin(v, i);
	uint16_t port = SOFT_R16(v, SOFT_REG(X86_RDX));

	soft_io_check(v, port, s.size);
	if (nothing_to_do(&s))
		return;
	do {
		uint64_t a = dst(&s, true);

		soft_probe(v, a, s.size, true); /* a fault must not lose what the port gave */
		v->stats.pio++;
		soft_outside_begin(v);
		uint32_t x = hv_pio_read(v->hv->vm->pio, port, s.size);
		soft_outside_end(v);
		store(&s, a, x);
		advance(&s, X86_RDI, s.step);
	} while (go_on(&s, 1));
}

static void outs(struct soft_vcpu *v, const struct insn *i)
{
	const struct str s = begin(v, i);
	uint16_t port = SOFT_R16(v, SOFT_REG(X86_RDX));

	soft_io_check(v, port, s.size);
	if (nothing_to_do(&s))
		return;
	do {
		uint64_t x = load(&s, src(&s, false));

		v->stats.pio++;
		soft_outside_begin(v);
		hv_pio_write(v->hv->vm->pio, port, s.size, (uint32_t)x);
		soft_outside_end(v);
		advance(&s, X86_RSI, s.step);
	} while (go_on(&s, 1));
}

/* ---- selection ---- */

static void set_prefixes(const struct decoded *d, struct insn *i)
{
	i->flags &= (uint8_t) ~(INSN_REP | INSN_REPNE | INSN_MEM | INSN_CHECK);
	for (unsigned k = 0; k < d->z.raw.prefix_count; k++) {
		uint8_t p = d->z.raw.prefixes[k].value;

		if (p != 0xf2 && p != 0xf3)
			continue;
		/* The last one counts; without a comparison both just repeat. */
		i->flags &= (uint8_t) ~(INSN_REP | INSN_REPNE);
		i->flags |= p == 0xf2 ? INSN_REPNE : INSN_REP;
	}
}

static bool choose_string(const struct decoded *d, struct insn *i, insn_fn fn, uint8_t size)
{
	if (d->z.meta.category != ZYDIS_CATEGORY_STRINGOP &&
	    d->z.meta.category != ZYDIS_CATEGORY_IOSTRINGOP)
		return false; /* the SSE instruction of that name */
	set_prefixes(d, i);
	i->op_size = size;
	i->seg = X86_DS;
	for (unsigned k = 0; k < d->z.operand_count; k++) {
		const ZydisDecodedOperand *op = &d->op[k];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    decode_reg(op->mem.base) == SOFT_REG(X86_RSI))
			i->seg = decode_seg(op->mem.segment);
	}
	if (fn == ins || fn == outs)
		i->flags |= INSN_END;
	return choose_fn(i, fn);
}

#define SELECT(name, letter, bytes)                                                                \
	static bool sel_##name##letter(const struct decoded *d, struct insn *i)                    \
	{                                                                                          \
		return choose_string(d, i, name, bytes);                                           \
	}
#define SELECT4(name) SELECT(name, b, 1) SELECT(name, w, 2) SELECT(name, d, 4) SELECT(name, q, 8)
#define SELECT3(name) SELECT(name, b, 1) SELECT(name, w, 2) SELECT(name, d, 4)
SELECT4(movs)
SELECT4(stos)
SELECT4(lods)
SELECT4(scas)
SELECT4(cmps)
SELECT3(ins)
SELECT3(outs)

const struct soft_op soft_ops_string[] = {
	{ ZYDIS_MNEMONIC_MOVSB, sel_movsb },
	{ ZYDIS_MNEMONIC_MOVSW, sel_movsw },
	{ ZYDIS_MNEMONIC_MOVSD, sel_movsd },
	{ ZYDIS_MNEMONIC_MOVSQ, sel_movsq },
	{ ZYDIS_MNEMONIC_STOSB, sel_stosb },
	{ ZYDIS_MNEMONIC_STOSW, sel_stosw },
	{ ZYDIS_MNEMONIC_STOSD, sel_stosd },
	{ ZYDIS_MNEMONIC_STOSQ, sel_stosq },
	{ ZYDIS_MNEMONIC_LODSB, sel_lodsb },
	{ ZYDIS_MNEMONIC_LODSW, sel_lodsw },
	{ ZYDIS_MNEMONIC_LODSD, sel_lodsd },
	{ ZYDIS_MNEMONIC_LODSQ, sel_lodsq },
	{ ZYDIS_MNEMONIC_SCASB, sel_scasb },
	{ ZYDIS_MNEMONIC_SCASW, sel_scasw },
	{ ZYDIS_MNEMONIC_SCASD, sel_scasd },
	{ ZYDIS_MNEMONIC_SCASQ, sel_scasq },
	{ ZYDIS_MNEMONIC_CMPSB, sel_cmpsb },
	{ ZYDIS_MNEMONIC_CMPSW, sel_cmpsw },
	{ ZYDIS_MNEMONIC_CMPSD, sel_cmpsd },
	{ ZYDIS_MNEMONIC_CMPSQ, sel_cmpsq },
	{ ZYDIS_MNEMONIC_INSB, sel_insb },
	{ ZYDIS_MNEMONIC_INSW, sel_insw },
	{ ZYDIS_MNEMONIC_INSD, sel_insd },
	{ ZYDIS_MNEMONIC_OUTSB, sel_outsb },
	{ ZYDIS_MNEMONIC_OUTSW, sel_outsw },
	{ ZYDIS_MNEMONIC_OUTSD, sel_outsd },
	{ -1, NULL },
};
