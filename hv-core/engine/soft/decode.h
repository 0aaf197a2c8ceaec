/* What instruction selectors see of the decoder: Zydis' result and the mode it was decoded in. */
#ifndef SOFT_DECODE_H
#define SOFT_DECODE_H
#include <Zydis/Zydis.h>
#include "engine/soft/soft.h"

struct decoded {
	const struct soft_vcpu *v; /* for the CPU model and mode; state other than v->key's must not
				      be looked at */
	uint8_t bytes[15];	   /* the instruction as it stands in memory */
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* What stands in d->bytes, in v's mode, for those that need more of a decoded instruction than
 * struct insn holds. False: none of len bytes. */
bool decode_again(const struct soft_vcpu *v, struct decoded *d, unsigned len);
/* Offset of a general register operand of any size (AH..BH too); SOFT_ZERO for others. */
uint16_t decode_reg(ZydisRegister r);
/* enum x86_seg of a segment register. */
uint8_t decode_seg(ZydisRegister r);
#endif
