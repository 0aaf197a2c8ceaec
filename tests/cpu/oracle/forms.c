/*
 * The coverage table: every encoding that the decoder knows is tried in every mode, and those that
 * name the same instruction with the same kinds of operands and prefixes are one form.
 */
#include "oracle.h"
#include <stdlib.h>
#include <string.h>

static ZydisDecoder decoders[N_MODES];

const ZydisDecoder *decoder_of(enum mode m)
{
	static bool made;

	if (!made) {
		ZydisDecoderInit(&decoders[MODE_64], ZYDIS_MACHINE_MODE_LONG_64,
				 ZYDIS_STACK_WIDTH_64);
		ZydisDecoderInit(&decoders[MODE_32], ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
				 ZYDIS_STACK_WIDTH_32);
		ZydisDecoderInit(&decoders[MODE_16], ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
				 ZYDIS_STACK_WIDTH_16);
		for (unsigned k = 0; k < N_MODES; k++) {
			ZydisDecoderEnableMode(&decoders[k], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
			ZydisDecoderEnableMode(&decoders[k], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
			ZydisDecoderEnableMode(&decoders[k], ZYDIS_DECODER_MODE_CLDEMOTE,
					       ZYAN_FALSE);
		}
		made = true;
	}
	return &decoders[m];
}

/* ---- names ---- */

static void put(char key[128], const char *s)
{
	size_t n = strlen(key);

	snprintf(key + n, 128 - n, "%s", s);
}

static void put_operand(char key[128], const ZydisDecodedOperand *o)
{
	char s[32];

	if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		ZydisRegister r = o->reg.value;
		const char *high = r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH ? "h" : "";
		ZydisRegisterClass c = ZydisRegisterGetClass(r);

		if (c == ZYDIS_REGCLASS_SEGMENT)
			snprintf(s, sizeof(s), " %s", ZydisRegisterGetString(r));
		else if (c == ZYDIS_REGCLASS_MMX)
			snprintf(s, sizeof(s), " mm");
		else if (c == ZYDIS_REGCLASS_X87)
			snprintf(s, sizeof(s), " st");
		else
			snprintf(s, sizeof(s), " r%u%s", o->size, high);
	} else if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		static const char *const kinds[] = { "?", "m", "agen", "mib", "vm" };

		snprintf(s, sizeof(s), " %s%u", kinds[o->mem.type], o->size);
	} else if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		snprintf(s, sizeof(s), " i%u", o->size);
	} else {
		snprintf(s, sizeof(s), " p%u", o->size);
	}
	put(key, s);
}

static bool address_matters(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *op)
{
	if (z->meta.category == ZYDIS_CATEGORY_COND_BR)
		return z->mnemonic == ZYDIS_MNEMONIC_JCXZ || z->mnemonic == ZYDIS_MNEMONIC_JECXZ ||
		       z->mnemonic == ZYDIS_MNEMONIC_LOOP || z->mnemonic == ZYDIS_MNEMONIC_LOOPE ||
		       z->mnemonic == ZYDIS_MNEMONIC_LOOPNE;
	for (unsigned k = 0; k < z->operand_count; k++)
		if (op[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    op[k].mem.base != ZYDIS_REGISTER_RSP && op[k].mem.base != ZYDIS_REGISTER_ESP &&
		    op[k].mem.base != ZYDIS_REGISTER_SP)
			return true;
	return false;
}

void form_key(enum mode m, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *op,
	      char key[128])
{
	static const unsigned widths[] = { 64, 32, 16 };
	char s[48];

	snprintf(key, 128, "%u %s", widths[m], ZydisMnemonicGetString(z->mnemonic));
	for (unsigned k = 0; k < z->operand_count_visible; k++)
		put_operand(key, &op[k]);
	if (z->attributes & ZYDIS_ATTRIB_HAS_LOCK)
		put(key, " lock");
	if (z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		put(key, " rep");
	if (z->attributes & ZYDIS_ATTRIB_HAS_REPNE)
		put(key, " repne");
	if (address_matters(z, op) && z->address_width != widths[m]) {
		snprintf(s, sizeof(s), " a%u", z->address_width);
		put(key, s);
	}
	snprintf(s, sizeof(s), " /%s%u.%02x",
		 z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ? "v" : "", z->opcode_map,
		 z->opcode);
	put(key, s);
}

/* ---- what is left out, and where it is tested instead ---- */

static const struct {
	ZydisMnemonic m;
	const char *why;
} excluded[] = {
	{ ZYDIS_MNEMONIC_SYSCALL, "enters the host's kernel" },
	{ ZYDIS_MNEMONIC_SYSENTER, "enters the host's kernel" },
	{ ZYDIS_MNEMONIC_CPUID, "the model's answer, not the host's" },
	{ ZYDIS_MNEMONIC_XGETBV, "the model's answer, not the host's" },
	{ ZYDIS_MNEMONIC_RDTSC, "another result each time" },
	{ ZYDIS_MNEMONIC_RDTSCP, "another result each time" },
	{ ZYDIS_MNEMONIC_RDPID, "the host's CPU number" },
	{ ZYDIS_MNEMONIC_RDRAND, "another result each time" },
	{ ZYDIS_MNEMONIC_RDSEED, "another result each time" },
	{ ZYDIS_MNEMONIC_SGDT, "the host's kernel answers (UMIP)" },
	{ ZYDIS_MNEMONIC_SIDT, "the host's kernel answers (UMIP)" },
	{ ZYDIS_MNEMONIC_SLDT, "the host's kernel answers (UMIP)" },
	{ ZYDIS_MNEMONIC_STR, "the host's kernel answers (UMIP)" },
	{ ZYDIS_MNEMONIC_SMSW, "the host's kernel answers (UMIP)" },
	{ ZYDIS_MNEMONIC_INT1, "hosts that are guests report another RIP: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_LAR, "reads the host's descriptor tables: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_LSL, "reads the host's descriptor tables: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_VERR, "reads the host's descriptor tables: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_VERW, "reads the host's descriptor tables: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_LDS, "loads segments: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_LES, "loads segments: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_LFS, "loads segments: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_LGS, "loads segments: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_LSS, "loads segments: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_IRET, "far transfer: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_IRETD, "far transfer: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_IRETQ, "far transfer: tests/cpu/bare" },
	{ ZYDIS_MNEMONIC_RDFSBASE, "the C library's thread pointer" },
	{ ZYDIS_MNEMONIC_WRFSBASE, "the C library's thread pointer" },
	{ ZYDIS_MNEMONIC_WRGSBASE, "would move the host's window: tests/cpu/bare" },
};

const char *form_excluded(ZydisMnemonic m, const ZydisDecodedOperand *op)
{
	for (unsigned k = 0; k < sizeof(excluded) / sizeof(excluded[0]); k++)
		if (excluded[k].m == m)
			return excluded[k].why;
	if ((m == ZYDIS_MNEMONIC_MOV || m == ZYDIS_MNEMONIC_POP) &&
	    op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    ZydisRegisterGetClass(op[0].reg.value) == ZYDIS_REGCLASS_SEGMENT)
		return "loads segments: tests/cpu/bare";
	return NULL;
}

void forms_left_out(void)
{
	for (unsigned k = 0; k < sizeof(excluded) / sizeof(excluded[0]); k++)
		printf("left out: %s: %s\n", ZydisMnemonicGetString(excluded[k].m),
		       excluded[k].why);
	printf("left out: mov and pop to segment registers: load segments: tests/cpu/bare\n"
	       "left out: far jumps, calls and returns: tests/cpu/bare\n");
}

static bool is_far(const ZydisDecodedInstruction *z)
{
	return z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

/* ---- enumeration ---- */

static struct form *add_form(struct form_table *t)
{
	if (t->n == t->room) {
		unsigned room = t->room == 0 ? 4096 : t->room * 2;
		struct form *f = realloc(t->f, room * sizeof(*f));

		if (f == NULL)
			return NULL;
		t->f = f;
		t->room = room;
	}
	return &t->f[t->n++];
}

#define HASH_SIZE 65536u
static unsigned hash_table[HASH_SIZE]; /* 1 + index */

static unsigned *find_slot(struct form_table *t, const char *key)
{
	unsigned h = 2166136261u;

	for (const char *s = key; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	for (;; h++) {
		unsigned *slot = &hash_table[h % HASH_SIZE];

		if (*slot == 0 || strcmp(t->f[*slot - 1].key, key) == 0)
			return slot;
	}
}

static unsigned put_opcode(uint8_t *b, const struct form *f)
{
	unsigned n = 0;

	for (unsigned k = 0; k < f->n_prefix; k++)
		b[n++] = f->prefix[k];
	if (f->vex) {
		b[n++] = 0xc4;
		b[n++] = 0xe0 | f->map;
		b[n++] = (uint8_t)(f->rex_w << 7 | 0x78 | f->vex_l << 2 | f->pp);
	} else {
		if (f->rex_w)
			b[n++] = 0x48;
		if (f->map > 0)
			b[n++] = 0x0f;
		if (f->map > 1)
			b[n++] = f->map == 2 ? 0x38 : 0x3a;
	}
	b[n++] = f->opcode;
	return n;
}

static bool has_encoding(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *op,
			 ZydisOperandEncoding enc)
{
	for (unsigned k = 0; k < z->operand_count; k++)
		if (op[k].encoding == enc)
			return true;
	return false;
}

static int consider(struct form_table *t, struct form *f, const uint8_t b[15])
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	unsigned *slot;
	struct form *new;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder_of(f->mode), b, 15, &z, op)) ||
	    (z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) != f->vex ||
	    /* what was meant as the opcode was a prefix, and the like */
	    z.opcode != f->opcode || (unsigned)z.opcode_map != f->map || is_far(&z) ||
	    form_excluded(z.mnemonic, op) != NULL)
		return 0;
	form_key(f->mode, &z, op, f->key);
	slot = find_slot(t, f->key);
	if (*slot != 0 || !guest_allows(b, 15, f->mode))
		return 0;
	new = add_form(t);
	if (new == NULL)
		return -1;
	*new = *f;
	*slot = t->n;
	new->mnemonic = z.mnemonic;
	new->a16 = f->mode == MODE_32 &&z.address_width == 16;
	new->has_modrm = z.attributes &ZYDIS_ATTRIB_HAS_MODRM;
	new->is_mem = new->has_modrm &&z.raw.modrm.mod != 3;
	new->fixed_reg = !has_encoding(&z, op, ZYDIS_OPERAND_ENCODING_MODRM_REG);
	new->fixed_rm = !new->is_mem && !has_encoding(&z, op, ZYDIS_OPERAND_ENCODING_MODRM_RM);
	return 0;
}

/* All ModRM bytes of interest: registers, and one memory form for each value of the reg field. */
static int try_modrm(struct form_table *t, struct form *f)
{
	uint8_t b[15];
	unsigned n;

	memset(b, 0, sizeof(b));
	n = put_opcode(b, f);
	for (unsigned m = 0; m < 256; m++) {
		if (m < 0xc0 && (m & 0xc7) != 0x04 && (m & 0xc7) != 0x00)
			continue;
		f->modrm = (uint8_t)m;
		b[n] = (uint8_t)m;
		b[n + 1] = m < 0xc0 && (m & 7) == 4 ? 0x13 : 0; /* VSIB wants another register */
		if (f->vex && (m & 7) == 4 && m < 0xc0)
			b[n - 2] = (uint8_t)((b[n - 2] & 0x87) | 5 << 3);
		if (consider(t, f, b) < 0)
			return -1;
		if (f->vex)
			b[n - 2] = (uint8_t)((b[n - 2] & 0x87) | ((m & 1) != 0 ? 0x78 : 6 << 3));
	}
	return 0;
}

static int legacy_forms(struct form_table *t, enum mode m)
{
	static const uint8_t prefixes[][4] = {
		/* count, prefixes */
		{ 0 },
		{ 1, 0x66 },
		{ 1, 0xf2 },
		{ 1, 0xf3 },
		{ 1, 0xf0 },
		{ 1, 0x67 },
		{ 2, 0x66, 0xf0 },
		{ 2, 0x66, 0xf2 },
		{ 2, 0x66, 0xf3 },
		{ 2, 0x66, 0x67 },
		{ 2, 0xf2, 0x67 },
		{ 2, 0xf3, 0x67 },
		{ 2, 0xf0, 0x67 },
		{ 3, 0x66, 0xf3, 0x67 },
		{ 3, 0x66, 0xf2, 0x67 },
		{ 3, 0x66, 0xf0, 0x67 },
	};

	for (unsigned p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++)
		for (unsigned w = 0; w <= (m == MODE_64); w++)
			for (unsigned op = 0; op < 4 * 256; op++) {
				struct form f = { .mode = m,
						  .rex_w = w,
						  .map = (uint8_t)(op >> 8),
						  .opcode = (uint8_t)op,
						  .n_prefix = prefixes[p][0] };

				memcpy(f.prefix, &prefixes[p][1], 3);
				if (try_modrm(t, &f) < 0)
					return -1;
			}
	return 0;
}

static int vex_forms(struct form_table *t, enum mode m)
{
	for (unsigned k = 0; k < 2 * 2 * 2 * 4 * 3; k++)
		for (unsigned op = 0; op < 256; op++) {
			struct form f = { .mode = m,
					  .vex = true,
					  .opcode = (uint8_t)op,
					  .rex_w = k & 1,
					  .vex_l = k >> 1 & 1,
					  .prefix = { 0x67 },
					  .n_prefix = k >> 2 & 1,
					  .pp = k >> 3 & 3,
					  .map = (uint8_t)(1 + (k >> 5)) };

			if (try_modrm(t, &f) < 0)
				return -1;
		}
	return 0;
}

int forms_make(struct form_table *t)
{
	for (unsigned m = 0; m < N_MODES; m++)
		if (legacy_forms(t, (enum mode)m) < 0 || vex_forms(t, (enum mode)m) < 0) {
			fprintf(stderr, "oracle: out of memory\n");
			return -1;
		}
	return 0;
}
