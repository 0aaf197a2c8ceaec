/*
 * Re-encodes a guest instruction for the host's 64-bit mode, with its memory operand and its
 * general registers where the caller has them. In stubs that is [RDI], R8 (ModRM.reg), R9
 * (ModRM.rm) and R10 (VEX.vvvv).
 */
#include "engine/soft/decode.h"
#include "engine/soft/fpu.h"

static bool is_gpr(ZydisRegister r)
{
	ZydisRegisterClass c = ZydisRegisterGetClass(r);

	return c == ZYDIS_REGCLASS_GPR8 || c == ZYDIS_REGCLASS_GPR16 || c == ZYDIS_REGCLASS_GPR32 ||
	       c == ZYDIS_REGCLASS_GPR64;
}

/* A general register that no field names: RAX, RDX (read), RAX, RCX (written). */
static void implicit_gpr(struct simd_fields *f, const ZydisDecodedOperand *o)
{
	bool w = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

	switch (ZydisRegisterGetId(o->reg.value)) {
	case X86_RAX:
		f->attr |= w ? STUB_RAX | STUB_W_RAX : STUB_RAX;
		break;
	case X86_RDX:
		f->attr |= STUB_RDX;
		break;
	case X86_RCX:
		f->attr |= STUB_W_RCX;
		break;
	default:
		break;
	}
}

static void register_operand(struct simd_fields *f, const ZydisDecodedOperand *o)
{
	uint8_t id = (uint8_t)ZydisRegisterGetId(o->reg.value);
	bool gpr = is_gpr(o->reg.value);
	bool w = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

	switch (o->encoding) {
	case ZYDIS_OPERAND_ENCODING_MODRM_REG:
		f->reg = id;
		if (gpr)
			f->attr |= w ? STUB_REG | STUB_W_REG : STUB_REG;
		break;
	case ZYDIS_OPERAND_ENCODING_MODRM_RM:
		f->rm = id;
		if (gpr)
			f->attr |= w ? STUB_RM | STUB_W_RM : STUB_RM;
		break;
	case ZYDIS_OPERAND_ENCODING_NDSNDD:
		f->vvvv = id;
		if (gpr)
			f->attr |= w ? STUB_VVVV | STUB_W_VVVV : STUB_VVVV;
		break;
	default:
		if (gpr)
			implicit_gpr(f, o);
	}
}

static uint16_t flag_attr(const ZydisDecodedInstruction *z)
{
	uint32_t all = 0;

	if (z->cpu_flags != NULL)
		all = z->cpu_flags->tested | z->cpu_flags->modified | z->cpu_flags->set_0 |
		      z->cpu_flags->set_1 | z->cpu_flags->undefined;
	return all & X86_FL_STATUS ? STUB_FLAGS : 0;
}

static uint16_t group_attr(const ZydisDecodedInstruction *z)
{
	switch (z->meta.isa_ext) {
	case ZYDIS_ISA_EXT_BMI1:
	case ZYDIS_ISA_EXT_BMI2:
	case ZYDIS_ISA_EXT_ADOX_ADCX:
	case ZYDIS_ISA_EXT_RDRAND:
	case ZYDIS_ISA_EXT_RDSEED:
		return STUB_NO_FPU;
	case ZYDIS_ISA_EXT_X87:
		return STUB_X87;
	default:
		return z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
				       z->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY
			       ? STUB_X87
			       : 0;
	}
}

void simd_fields(const struct decoded *d, struct simd_fields *f)
{
	const ZydisDecodedInstruction *z = &d->z;

	*f = (struct simd_fields){ 0 };
	f->reg = z->raw.modrm.reg;
	f->rm = z->raw.modrm.rm;
	for (unsigned k = 0; k < z->operand_count; k++) {
		const ZydisDecodedOperand *o = &d->op[k];

		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
			register_operand(f, o);
	}
	f->attr |= (uint16_t)(flag_attr(z) | group_attr(z));
}

struct out {
	uint8_t bytes[SIMD_MAX_BYTES];
	unsigned len;
};

static void put_byte(struct out *n, unsigned b)
{
	if (n->len < sizeof(n->bytes))
		n->bytes[n->len] = (uint8_t)b;
	n->len++;
}

static unsigned mandatory_prefix(const ZydisDecodedInstruction *z)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_RDRAND:
	case ZYDIS_MNEMONIC_RDSEED:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FRSTOR:
		return z->operand_width == 16 ? 0x66 : 0;
	default:
		break;
	}
	for (unsigned k = 0; k < z->raw.prefix_count; k++)
		if (z->raw.prefixes[k].type == ZYDIS_PREFIX_TYPE_MANDATORY)
			return z->raw.prefixes[k].value;
	return 0;
}

static bool put_legacy(const struct decoded *d, const struct simd_place *p, struct out *n)
{
	const ZydisDecodedInstruction *z = &d->z;
	unsigned prefix = mandatory_prefix(z);
	unsigned rex = (p->reg & 8u) >> 1 | (p->index & 8u) >> 2 | (p->rm & 8u) >> 3;

	if (prefix != 0)
		put_byte(n, prefix);
	if ((z->attributes & ZYDIS_ATTRIB_HAS_REX) && z->raw.rex.W &&
	    z->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		rex |= 8;
	if (rex != 0)
		put_byte(n, 0x40 | rex);
	if (z->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		put_byte(n, 0x0f);
	if (z->opcode_map == ZYDIS_OPCODE_MAP_0F38)
		put_byte(n, 0x38);
	else if (z->opcode_map == ZYDIS_OPCODE_MAP_0F3A)
		put_byte(n, 0x3a);
	else if (z->opcode_map > ZYDIS_OPCODE_MAP_0F)
		return false;
	put_byte(n, z->opcode);
	return true;
}

/* Outside 64-bit mode VEX.W is ignored where it would mean a 64-bit general register or an element
 * as wide as one. */
static bool vex_w_ignored(const struct decoded *d)
{
	struct simd_fields f;

	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_VMOVD:
	case ZYDIS_MNEMONIC_VPEXTRD:
	case ZYDIS_MNEMONIC_VPINSRD:
	case ZYDIS_MNEMONIC_VCVTSI2SD:
	case ZYDIS_MNEMONIC_VCVTSI2SS:
		return true;
	default:
		simd_fields(d, &f);
		return f.attr & (STUB_REG | STUB_RM | STUB_VVVV);
	}
}

static void put_vex(const struct decoded *d, const struct simd_place *p, struct out *n)
{
	const ZydisDecodedInstruction *z = &d->z;
	unsigned w = z->raw.vex.W;

	if (z->machine_mode != ZYDIS_MACHINE_MODE_LONG_64 && vex_w_ignored(d))
		w = 0;
	put_byte(n, 0xc4);
	put_byte(n, (p->reg & 8u ? 0 : 0x80) | (p->index & 8u ? 0 : 0x40) |
			    (p->rm & 8u ? 0 : 0x20) | z->raw.vex.m_mmmm);
	put_byte(n, w << 7 | (~p->vvvv & 0xfu) << 3 | (unsigned)z->raw.vex.L << 2 | z->raw.vex.pp);
	put_byte(n, z->opcode);
}

/* What stands behind the addressing bytes: immediates. */
static void put_tail(const struct decoded *d, struct out *n)
{
	const ZydisDecodedInstruction *z = &d->z;
	unsigned at = z->raw.modrm.offset + 1u;

	if (z->attributes & ZYDIS_ATTRIB_HAS_SIB)
		at = z->raw.sib.offset + 1u;
	if (z->raw.disp.size != 0)
		at = z->raw.disp.offset + z->raw.disp.size / 8u;
	for (; at < z->length; at++) {
		unsigned b = d->bytes[at];
		const ZydisDecodedOperand *last = &d->op[z->operand_count_visible - 1];

		/* A register number there has three bits outside 64-bit mode. */
		if (last->encoding == ZYDIS_OPERAND_ENCODING_IS4 &&
		    z->machine_mode != ZYDIS_MACHINE_MODE_LONG_64)
			b &= 0x7f;
		put_byte(n, b);
	}
}

static void put_address(const struct simd_place *p, struct out *n)
{
	unsigned reg = (p->reg & 7u) << 3;
	unsigned mod = p->disp == 0 && (p->rm & 7) != 5 ? 0 : p->disp == (int8_t)p->disp ? 1 : 2;

	if (p->index == X86_RSP && (p->rm & 7) != 4) {
		put_byte(n, mod << 6 | reg | (p->rm & 7u));
	} else {
		put_byte(n, mod << 6 | reg | 4);
		put_byte(n, (p->index & 7u) << 3 | (p->rm & 7u));
	}
	for (unsigned k = 0; k < (mod == 2 ? 4 : mod); k++)
		put_byte(n, (uint8_t)((uint32_t)p->disp >> 8 * k));
}

unsigned simd_put(const struct decoded *d, const struct simd_place *p, uint8_t *to)
{
	const ZydisDecodedInstruction *z = &d->z;
	struct out n = { .len = 0 };

	if (z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		put_vex(d, p, &n);
	else if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || !put_legacy(d, p, &n))
		return 0;
	if (z->attributes & ZYDIS_ATTRIB_HAS_MODRM) {
		if (z->raw.modrm.mod == 3)
			put_byte(&n, 0xc0 | (p->reg & 7u) << 3 | (p->rm & 7u));
		else
			put_address(p, &n);
		put_tail(d, &n);
	}
	if (n.len > sizeof(n.bytes))
		return 0;
	memcpy(to, n.bytes, n.len);
	return n.len;
}

bool simd_encode(const struct decoded *d, struct stub_insn *n)
{
	const ZydisDecodedInstruction *z = &d->z;
	struct simd_fields f;
	uint8_t bytes[SIMD_MAX_BYTES];

	simd_fields(d, &f);
	struct simd_place p = { .reg = f.attr & STUB_REG ? X86_R8 : f.reg,
				.rm = f.attr & STUB_RM ? X86_R9 : f.rm,
				.vvvv = f.attr & STUB_VVVV ? X86_R10 : f.vvvv,
				.index = X86_RSP };

	if ((z->attributes & ZYDIS_ATTRIB_HAS_MODRM) && z->raw.modrm.mod != 3)
		p.rm = X86_RDI;
	*n = (struct stub_insn){ .attr = f.attr };
	unsigned len = simd_put(d, &p, bytes);

	if (len == 0 || len > sizeof(n->bytes))
		return false;
	n->len = (uint8_t)len;
	memcpy(n->bytes, bytes, len);
	return true;
}
