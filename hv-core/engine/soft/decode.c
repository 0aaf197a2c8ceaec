/*
 * From bytes to struct insn, once a block: fetches, lets Zydis decode, fills what all groups share,
 * and lets the group's selector choose the function.
 *
 * Priorities as on hardware: a fault of fetching the bytes that are needed, more than 15 bytes
 * (#GP), then #UD and #NM.
 */
#include "engine/soft/decode.h"
#include <pthread.h>
#include "engine/soft/block.h"
#include "engine/soft/code.h"
#include "engine/soft/key.h"
#include "engine/soft/mmu.h"
#include "engine/soft/run.h"

#define MAX_LEN 15u
#define MAX_ROWS 2048u

enum decoder {
	DEC_REAL16,
	DEC_LEGACY16,
	DEC_LEGACY32,
	DEC_COMPAT16,
	DEC_COMPAT32,
	DEC_LONG64,
	N_DEC
};

struct decoders {
	ZydisDecoder z[N_DEC];
};

/* ---- the tables of all groups by mnemonic ---- */

struct row {
	const struct soft_op *op;
	bool chains;
	uint16_t next; /* row + 1; 0: none */
};

static struct row rows[MAX_ROWS];
static uint16_t first_row[ZYDIS_MNEMONIC_MAX_VALUE + 1];
static pthread_once_t rows_once = PTHREAD_ONCE_INIT;

static void add_rows(const struct soft_op *ops, unsigned *n, bool chains)
{
	for (; ops->mnemonic != -1; ops++) {
		uint16_t *link = &first_row[ops->mnemonic];

		while (*link != 0)
			link = &rows[*link - 1].next;
		assert(*n < MAX_ROWS);
		rows[*n] = (struct row){ ops, chains, 0 };
		*link = (uint16_t)++ * n;
	}
}

static void make_rows(void)
{
	unsigned n = 0;

	for (unsigned k = 0; soft_ops_int[k] != NULL; k++)
		add_rows(soft_ops_int[k], &n, false);
	add_rows(soft_ops_flow, &n, true);
	add_rows(soft_ops_string, &n, false);
	add_rows(soft_ops_system, &n, false);
	add_rows(soft_ops_simd, &n, false);
}

static void decoder_init(ZydisDecoder *z, ZydisMachineMode mode, ZydisStackWidth width,
			 const struct cpu_model *m)
{
	ZydisDecoderInit(z, mode, width);
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_AMD_BRANCHES, m->amd);
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_LZCNT, cpu_model_has(m, CPU_F_LZCNT));
	ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_TZCNT, cpu_model_has(m, CPU_F_BMI1));
}

int decode_create(struct soft_vm *vm, struct err *e)
{
	const struct cpu_model *m = vm->hv->model;

	pthread_once(&rows_once, make_rows);
	vm->decoders = malloc(sizeof(*vm->decoders));
	if (vm->decoders == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	ZydisDecoder *z = vm->decoders->z;

	decoder_init(&z[DEC_REAL16], ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16, m);
	decoder_init(&z[DEC_LEGACY16], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, m);
	decoder_init(&z[DEC_LEGACY32], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, m);
	decoder_init(&z[DEC_COMPAT16], ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16, m);
	decoder_init(&z[DEC_COMPAT32], ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32, m);
	decoder_init(&z[DEC_LONG64], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, m);
	return 0;
}

void decode_destroy(struct soft_vm *vm)
{
	free(vm->decoders);
	vm->decoders = NULL;
}

static const ZydisDecoder *decoder_of(const struct soft_vcpu *v)
{
	const ZydisDecoder *z = v->vm->decoders->z;

	if (v->code64)
		return &z[DEC_LONG64];
	if (v->long_mode)
		return &z[v->code32 ? DEC_COMPAT32 : DEC_COMPAT16];
	if (v->code32)
		return &z[DEC_LEGACY32];
	return &z[v->protected && !v->v86 ? DEC_LEGACY16 : DEC_REAL16];
}

/* ---- registers ---- */

uint16_t decode_reg(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
		return SOFT_REG(r - ZYDIS_REGISTER_AL);
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return SOFT_REG8H(r - ZYDIS_REGISTER_AH);
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return SOFT_REG(r - ZYDIS_REGISTER_SPL + 4);
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		return SOFT_REG(r - ZYDIS_REGISTER_AX);
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return SOFT_REG(r - ZYDIS_REGISTER_EAX);
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return SOFT_REG(r - ZYDIS_REGISTER_RAX);
	return SOFT_ZERO;
}

uint8_t decode_seg(ZydisRegister r)
{
	switch (r) {
	case ZYDIS_REGISTER_ES:
		return X86_ES;
	case ZYDIS_REGISTER_CS:
		return X86_CS;
	case ZYDIS_REGISTER_SS:
		return X86_SS;
	case ZYDIS_REGISTER_FS:
		return X86_FS;
	case ZYDIS_REGISTER_GS:
		return X86_GS;
	default:
		return X86_DS;
	}
}

/* ---- instructions that only fault ---- */

static void insn_ud(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	soft_raise(v, X86_EXC_UD);
}

static void insn_nm(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	soft_raise(v, X86_EXC_NM);
}

static void insn_gp(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	soft_raise_err(v, X86_EXC_GP, 0);
}

static void make_faulting(struct insn *i, insn_fn fn)
{
	i->fn = fn;
	i->flags = INSN_END;
}

/* What is no instruction: any of the len bytes that were looked at may have made it so, and a store
 * to one of them has to be noticed. */
static void make_undecodable(struct insn *i, unsigned len, insn_fn fn)
{
	i->len = (uint8_t)len;
	make_faulting(i, fn);
}

/* ---- one instruction ---- */

static void fill_mem(const struct soft_vcpu *v, const struct decoded *d,
		     const ZydisDecodedOperand *op, struct insn *i)
{
	i->flags |= INSN_MEM;
	i->seg = decode_seg(op->mem.segment);
	i->base = decode_reg(op->mem.base);
	i->index = decode_reg(op->mem.index);
	i->scale = op->mem.index == ZYDIS_REGISTER_NONE || op->mem.scale == 0
			   ? 0
			   : (uint8_t)__builtin_ctz(op->mem.scale);
	i->disp = op->mem.disp.has_displacement ? op->mem.disp.value : 0;
	/* Zydis 4.0.0 takes REX.B for part of the SIB base that, with 32-bit addresses, means none.
	 */
	if ((d->z.attributes & ZYDIS_ATTRIB_HAS_SIB) && d->z.raw.sib.base == 5 &&
	    d->z.raw.modrm.mod == 0) {
		i->base = SOFT_ZERO;
		i->disp = d->z.raw.disp.value;
	}
	if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP)
		i->disp += (int64_t)(i->ip + i->len);
	i->mem_size = op->size / 8 <= 255 ? (uint8_t)(op->size / 8) : 0;
	bool flat = v->code64 || (v->flat >> i->seg & 1);

	if (d->z.mnemonic != ZYDIS_MNEMONIC_LEA && (!flat || (v->key & KEY_ALIGN)))
		i->flags |= INSN_CHECK;
}

static void fill_imm(const struct soft_vcpu *v, const struct decoded *d,
		     const ZydisDecodedOperand *op, struct insn *i)
{
	i->imm = op->imm.value.u;
	if (!op->imm.is_relative)
		return;
	i->flags |= INSN_BRANCH;
	i->imm += i->ip + i->len;
	if (d->z.operand_width == 16)
		i->imm = (uint16_t)i->imm;
	else if (!v->code64)
		i->imm = (uint32_t)i->imm;
}

static void fill(const struct soft_vcpu *v, const struct decoded *d, struct insn *i)
{
	const ZydisDecodedInstruction *z = &d->z;
	bool have_imm = false;

	i->len = z->length;
	i->op_size = z->operand_width / 8;
	i->addr_size = z->address_width / 8;
	if (z->attributes & ZYDIS_ATTRIB_HAS_LOCK)
		i->flags |= INSN_LOCK;
	if (z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		i->flags |= INSN_REP;
	if (z->attributes & ZYDIS_ATTRIB_HAS_REPNE)
		i->flags |= INSN_REPNE;
	for (unsigned k = 0; k < z->operand_count_visible; k++) {
		const ZydisDecodedOperand *op = &d->op[k];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && !(i->flags & INSN_MEM) &&
		    op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			fill_mem(v, d, op, i);
		} else if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !have_imm) {
			have_imm = true;
			fill_imm(v, d, op, i);
		} else if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && k == 0) {
			i->dst = decode_reg(op->reg.value);
		} else if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && k == 1) {
			i->src = decode_reg(op->reg.value);
		}
	}
}

/* Chooses i->fn; sets *ret_chains if what follows is in the same mode. */
static bool choose(const struct decoded *d, struct insn *i, bool *ret_chains)
{
	const struct insn plain = *i;

	for (uint16_t n = first_row[d->z.mnemonic]; n != 0; n = rows[n - 1].next) {
		*i = plain;
		if (rows[n - 1].op->select(d, i)) {
			*ret_chains = rows[n - 1].chains || !(i->flags & INSN_END);
			return true;
		}
	}
	*i = plain;
	return false;
}

enum got { GOT_INSN, GOT_MORE /* bytes are needed */ };

/* Decodes len bytes at d->bytes as the instruction at ip. */
static enum got decode_insn(struct soft_vcpu *v, struct decoded *d, unsigned len, uint64_t ip,
			    struct insn *i, bool *ret_chains)
{
	ZyanStatus st = ZydisDecoderDecodeFull(decoder_of(v), d->bytes, len, &d->z, d->op);

	*i = (struct insn){ .ip = ip,
			    .base = SOFT_ZERO,
			    .index = SOFT_ZERO,
			    .dst = SOFT_ZERO,
			    .src = SOFT_ZERO,
			    .seg = X86_DS };
	*ret_chains = false;
	if (st == ZYDIS_STATUS_NO_MORE_DATA) {
		if (len < MAX_LEN)
			return GOT_MORE;
		make_undecodable(i, len, insn_gp);
		return GOT_INSN;
	}
	if (st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) {
		make_undecodable(i, len, insn_gp);
		return GOT_INSN;
	}
	if (!ZYAN_SUCCESS(st)) {
		make_undecodable(i, len, insn_ud);
		return GOT_INSN;
	}
	fill(v, d, i);
	int vector = soft_isa_check(v, d);

	if (vector >= 0)
		make_faulting(i, vector == X86_EXC_NM ? insn_nm : insn_ud);
	else if (!choose(d, i, ret_chains))
		make_faulting(i, insn_ud);
	/* Code that runs over the segment's end. */
	if (!v->code64 && ip + i->len - 1 > v->s.seg[X86_CS].limit)
		make_faulting(i, insn_gp);
	return GOT_INSN;
}

bool decode_again(const struct soft_vcpu *v, struct decoded *d, unsigned len)
{
	d->v = v;
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder_of(v), d->bytes, len, &d->z, d->op)) &&
	       d->z.length == len;
}

/* ---- a block ---- */

static void fetch_io(struct soft_vcpu *v, uint64_t gpa, uint8_t *to, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		to[k] = (uint8_t)soft_phys_read(v, gpa + k, 1);
}

/* Up to the end of the page; marks RAM as code first. */
static unsigned fetch_bytes(struct soft_vcpu *v, struct block *b, uint64_t lin, uint64_t io_gpa,
			    uint8_t *to)
{
	unsigned off = lin & 4095;
	unsigned n = 4096 - off < MAX_LEN ? 4096 - off : MAX_LEN;

	if (b->host[0] == NULL) {
		fetch_io(v, io_gpa + off, to, n);
		return n;
	}
	soft_code_mark(v, b->page[0], b->host[0], soft_code_mask(off, n));
	for (unsigned k = 0; k < n; k++)
		to[k] = b->host[0][off + k];
	return n;
}

/* The instruction goes on in the next page: the rest of the bytes from there, by a fetch that may
 * raise. */
static void fetch_crossing(struct soft_vcpu *v, struct block *b, uint64_t lin, unsigned have,
			   uint8_t *to)
{
	uint64_t next = (lin & HV_PAGE_MASK) + HV_PAGE_SIZE;
	const struct soft_fetch f = *soft_fetch(v, v->code64 ? next : (uint32_t)next);
	unsigned n = MAX_LEN - have;

	b->crosses = true;
	b->host[1] = f.host;
	b->page[1] = f.code;
	if (f.host == NULL) {
		fetch_io(v, f.gpa, to + have, n);
		return;
	}
	soft_code_mark(v, f.code, f.host, 1); /* so few bytes are in its first part */
	for (unsigned k = 0; k < n; k++)
		to[have + k] = f.host[k];
}

void decode_block(struct soft_vcpu *v, struct block *b, unsigned max)
{
	uint64_t io_gpa = b->host[0] == NULL ? soft_fetch(v, b->lin)->gpa : 0;
	uint64_t ip = b->ip, lin = b->lin;
	struct decoded d;
	bool chains = false;

	soft_fpu_park(v);
	d.v = v;
	b->n = 0;
	while (b->n < max) {
		struct insn *i = &b->insns[b->n];
		unsigned have = fetch_bytes(v, b, lin, io_gpa, d.bytes);

		if (decode_insn(v, &d, have, ip, i, &chains) == GOT_MORE) {
			if (b->n != 0)
				break; /* a block of its own */
			fetch_crossing(v, b, lin, have, d.bytes);
			decode_insn(v, &d, MAX_LEN, ip, i, &chains);
		}
		b->n++;
		if (b->host[0] != NULL)
			b->mask |= soft_code_mask(lin & 4095, i->len < have ? i->len : have);
		lin += i->len;
		ip = soft_next_ip(v, i);
		if ((i->flags & INSN_END) || b->crosses ||
		    (lin & HV_PAGE_MASK) != (b->lin & HV_PAGE_MASK))
			break;
	}
	const struct insn *last = &b->insns[b->n - 1];

	b->end_ip = ip;
	b->chains = chains || !(last->flags & INSN_END);
}
