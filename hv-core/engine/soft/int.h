/*
 * What the integer groups are made of: operand forms, status flags by the host's own instructions.
 *
 * FL_LOAD puts v->fl (in AX) into the host's status flags, FL_SAVE takes them back. Whatever an
 * instruction leaves alone or undefined is then what the host's leaves.
 */
#ifndef SOFT_INT_H
#define SOFT_INT_H
#include "engine/soft/decode.h"
#include "engine/soft/key.h"
#include "engine/soft/soft.h"

#define FL_LOAD "addb $0x7f, %%al\n\tsahf\n\t" /* AL is 0 or 1: sets OF */
#define FL_SAVE "\n\tlahf\n\tseto %%al"
#define FL_LOAD_CF "btw $8, %%ax\n\t"

#define FL_OF 0x0001u
#define FL_CF 0x0100u
#define FL_PF 0x0400u
#define FL_AF 0x1000u
#define FL_ZF 0x4000u
#define FL_SF 0x8000u

/* Guest memory through a host address: any alignment. */
typedef uint8_t mem8 __attribute__((aligned(1), may_alias));
typedef uint16_t mem16 __attribute__((aligned(1), may_alias));
typedef uint32_t mem32 __attribute__((aligned(1), may_alias));
typedef uint64_t mem64 __attribute__((aligned(1), may_alias));

/* Suffix, operand modifier and register constraint by size. */
#define SFX8 "b"
#define SFX16 "w"
#define SFX32 "l"
#define SFX64 "q"
#define MOD8 "b"
#define MOD16 "w"
#define MOD32 "k"
#define MOD64 "q"

#define SET8(v, off, x) (SOFT_R8(v, off) = (uint8_t)(x))
#define SET16(v, off, x) (SOFT_R16(v, off) = (uint16_t)(x))
#define SET32(v, off, x) (SOFT_R64(v, off) = (uint32_t)(x))
#define SET64(v, off, x) (SOFT_R64(v, off) = (x))

#define FOR_SIZES(m, ...) m(8, __VA_ARGS__) m(16, __VA_ARGS__) m(32, __VA_ARGS__) m(64, __VA_ARGS__)
#define FOR_WIDE(m, ...) m(16, __VA_ARGS__) m(32, __VA_ARGS__) m(64, __VA_ARGS__)

/* A row of a table by size: 8, 16, 32, 64 bits. */
#define BY_SIZE(name)                                                                              \
	{                                                                                          \
		name##8, name##16, name##32, name##64                                              \
	}
#define BY_WIDE(name)                                                                              \
	{                                                                                          \
		NULL, name##16, name##32, name##64                                                 \
	}

enum form { FORM_RR, FORM_RM, FORM_MR, FORM_RI, FORM_MI, FORM_R, FORM_M, FORM_NONE };

/* Of the first two visible operands; FORM_NONE for anything but general registers, memory and
 * immediates. */
static inline enum form form_of(const struct decoded *d)
{
	const ZydisDecodedOperand *a = &d->op[0], *b = &d->op[1];
	unsigned n = d->z.operand_count_visible;
	bool a_reg = n > 0 && a->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		     decode_reg(a->reg.value) != SOFT_ZERO;
	bool a_mem = n > 0 && a->type == ZYDIS_OPERAND_TYPE_MEMORY;

	if (!a_reg && !a_mem)
		return FORM_NONE;
	if (n == 1)
		return a_reg ? FORM_R : FORM_M;
	if (b->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return a_reg ? FORM_RI : FORM_MI;
	if (b->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return a_reg ? FORM_RM : FORM_NONE;
	if (b->type != ZYDIS_OPERAND_TYPE_REGISTER || decode_reg(b->reg.value) == SOFT_ZERO)
		return FORM_NONE;
	return a_reg ? FORM_RR : FORM_MR;
}

/* May the 64-bit stack's fast paths be taken? They know nothing of alignment checks. */
static inline bool quick_stack(const struct decoded *d, const struct insn *i)
{
	return i->op_size == 8 && !(d->v->key & KEY_ALIGN);
}

/* 8, 16, 32, 64 bits to 0 to 3. */
static inline unsigned size_index(unsigned bits)
{
	return (unsigned)__builtin_ctz(bits) - 3;
}

static inline unsigned first_size(const struct decoded *d)
{
	return size_index(d->op[0].size);
}

static inline bool choose_fn(struct insn *i, insn_fn fn)
{
	i->fn = fn;
	return fn != NULL;
}
#endif
