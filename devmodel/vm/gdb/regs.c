/* gdb's view of a vCPU's registers, see regs.h. Order and names are those of gdb's amd64 features.
 */
#include "vm/gdb/regs.h"
#include <string.h>
#include "base/util.h"

/* Where the legacy x87 and SSE area and AVX's upper halves lie in a standard XSAVE image. */
#define FX(off) (offsetof(struct x86_state, xsave) + (off))
#define FX_ABRIDGED_TAG 4
#define FX_STATUS 2
#define FX_ST0 32
#define FX_XMM0 160
#define XSAVE_YMMH 576

enum reg_kind { REG_PLAIN, REG_FIXED, REG_TAG };

/* A row of `count` like registers; name has a %u then. size: bytes in x86_state, the rest is 0. */
struct reg_row {
	const char *name, *type;
	uint16_t bits, size;
	size_t off;
	unsigned count;
	size_t stride;
	enum reg_kind kind;
};

#define S(m) offsetof(struct x86_state, m)
#define GPR(n, i, t)                                                                               \
	{                                                                                          \
		n, t, 64, 8, S(gpr) + 8 * (i), 1, 0, REG_PLAIN                                     \
	}
#define SEL(n, i)                                                                                  \
	{                                                                                          \
		n, "int32", 32, 2,                                                                 \
			S(seg) + (i) * sizeof(struct x86_seg_state) +                              \
				offsetof(struct x86_seg_state, sel),                               \
			1, 0, REG_FIXED                                                            \
	}
#define FPU(n, off, size)                                                                          \
	{                                                                                          \
		n, "int", 32, size, FX(off), 1, 0, REG_PLAIN                                       \
	}
#define SYS(n, m)                                                                                  \
	{                                                                                          \
		n, "int64", 64, 8, S(m), 1, 0, REG_PLAIN                                           \
	}
#define END                                                                                        \
	{                                                                                          \
		NULL, NULL, 0, 0, 0, 0, 0, REG_PLAIN                                               \
	}

static const struct reg_row core[] = {
	GPR("rax", X86_RAX, "int64"),
	GPR("rbx", X86_RBX, "int64"),
	GPR("rcx", X86_RCX, "int64"),
	GPR("rdx", X86_RDX, "int64"),
	GPR("rsi", X86_RSI, "int64"),
	GPR("rdi", X86_RDI, "int64"),
	GPR("rbp", X86_RBP, "data_ptr"),
	GPR("rsp", X86_RSP, "data_ptr"),
	GPR("r8", 8, "int64"),
	GPR("r9", 9, "int64"),
	GPR("r10", 10, "int64"),
	GPR("r11", 11, "int64"),
	GPR("r12", 12, "int64"),
	GPR("r13", 13, "int64"),
	GPR("r14", 14, "int64"),
	GPR("r15", 15, "int64"),
	{ "rip", "code_ptr", 64, 8, S(rip), 1, 0, REG_PLAIN },
	{ "eflags", "i386_eflags", 32, 4, S(rflags), 1, 0, REG_PLAIN },
	SEL("cs", X86_CS),
	SEL("ss", X86_SS),
	SEL("ds", X86_DS),
	SEL("es", X86_ES),
	SEL("fs", X86_FS),
	SEL("gs", X86_GS),
	{ "st%u", "i387_ext", 80, 10, FX(FX_ST0), 8, 16, REG_PLAIN },
	FPU("fctrl", 0, 2),
	FPU("fstat", FX_STATUS, 2),
	{ "ftag", "int", 32, 0, 0, 1, 0, REG_TAG },
	FPU("fiseg", 12, 2),
	FPU("fioff", 8, 4),
	FPU("foseg", 20, 2),
	FPU("fooff", 16, 4),
	FPU("fop", 6, 2),
	END,
};
static const struct reg_row sse[] = {
	{ "xmm%u", "vec128", 128, 16, FX(FX_XMM0), 16, 16, REG_PLAIN },
	{ "mxcsr", "i386_mxcsr", 32, 4, FX(24), 1, 0, REG_PLAIN },
	END,
};
static const struct reg_row segments[] = {
	SYS("fs_base", seg[X86_FS].base),
	SYS("gs_base", seg[X86_GS].base),
	END,
};
static const struct reg_row avx[] = {
	{ "ymm%uh", "uint128", 128, 16, FX(XSAVE_YMMH), 16, 16, REG_PLAIN },
	END,
};
static const struct reg_row sys[] = {
	SYS("cr0", cr0),
	SYS("cr2", cr2),
	SYS("cr3", cr3),
	SYS("cr4", cr4),
	SYS("cr8", cr8),
	SYS("efer", efer),
	SYS("cs_base", seg[X86_CS].base),
	SYS("ss_base", seg[X86_SS].base),
	SYS("gdt_base", gdt_base),
	SYS("idt_base", idt_base),
	SYS("tr_base", seg[X86_TR].base),
	END,
};

static const char flags_xml[] =
	"<flags id=\"i386_eflags\" size=\"4\">"
	"<field name=\"\" start=\"22\" end=\"31\"/><field name=\"ID\" start=\"21\" end=\"21\"/>"
	"<field name=\"VIP\" start=\"20\" end=\"20\"/><field name=\"VIF\" start=\"19\" end=\"19\"/>"
	"<field name=\"AC\" start=\"18\" end=\"18\"/><field name=\"VM\" start=\"17\" end=\"17\"/>"
	"<field name=\"RF\" start=\"16\" end=\"16\"/><field name=\"NT\" start=\"14\" end=\"14\"/>"
	"<field name=\"IOPL\" start=\"12\" end=\"13\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"
	"<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"
	"<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"
	"<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
	"<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"CF\" start=\"0\" end=\"0\"/>"
	"</flags>";
static const char vectors_xml[] =
	"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
	"<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
	"<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
	"<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
	"<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
	"<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
	"<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
	"<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>"
	"<field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
	"<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union>"
	"<flags id=\"i386_mxcsr\" size=\"4\"><field name=\"IE\" start=\"0\" end=\"0\"/>"
	"<field name=\"FZ\" start=\"15\" end=\"15\"/></flags>";

static const struct feature {
	const char *name, *types;
	const struct reg_row *rows;
} features[] = {
	{ "org.gnu.gdb.i386.core", flags_xml, core },  { "org.gnu.gdb.i386.sse", vectors_xml, sse },
	{ "org.gnu.gdb.i386.segments", "", segments }, { "org.gnu.gdb.i386.avx", "", avx },
	{ "org.lodge.x86.system", "", sys },
};

static void row_xml(GString *out, const struct reg_row *r)
{
	char name[16];

	for (unsigned i = 0; i < r->count; i++) {
		/* Flat names have no conversion, so the argument is spare. */
		g_strlcpy(name, r->name, sizeof(name));
		if (r->count > 1) {
			const char *mark = strchr(r->name, '%');
			g_snprintf(name, sizeof(name), "%.*s%u%s", (int)(mark - r->name), r->name,
				   i, mark + 2);
		}
		g_string_append_printf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"/>", name,
				       r->bits, r->type);
	}
}

const char *gdb_regs_xml(void)
{
	static GString *xml;

	if (xml)
		return xml->str;
	xml = g_string_new("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
			   "<target><architecture>i386:x86-64</architecture>");
	for (size_t i = 0; i < HV_ARRAY_LEN(features); i++) {
		g_string_append_printf(xml, "<feature name=\"%s\">%s", features[i].name,
				       features[i].types);
		for (const struct reg_row *r = features[i].rows; r->name; r++)
			row_xml(xml, r);
		g_string_append(xml, "</feature>");
	}
	g_string_append(xml, "</target>");
	return xml->str;
}

unsigned gdb_regs_count(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < HV_ARRAY_LEN(features); i++)
		for (const struct reg_row *r = features[i].rows; r->name; r++)
			n += r->count;
	return n;
}

static const struct reg_row *find(unsigned n, size_t *ret_off)
{
	for (size_t i = 0; i < HV_ARRAY_LEN(features); i++)
		for (const struct reg_row *r = features[i].rows; r->name; r++) {
			if (n < r->count) {
				*ret_off = r->off + n * r->stride;
				return r;
			}
			n -= r->count;
		}
	return NULL;
}

/* The full tag word: the saved image has one bit a register, "in use". */
static uint16_t tag_word(const uint8_t *fx)
{
	const unsigned top = fx[FX_STATUS + 1] >> 3 & 7;
	uint16_t tags = 0;

	for (unsigned phys = 0; phys < 8; phys++) {
		const uint8_t *st = fx + FX_ST0 + 16 * ((phys - top) & 7);
		uint64_t mantissa;
		uint16_t exponent;
		unsigned tag = 0;
		memcpy(&mantissa, st, 8);
		memcpy(&exponent, st + 8, 2);
		exponent &= 0x7fff;
		if (!(fx[FX_ABRIDGED_TAG] >> phys & 1))
			tag = 3;
		else if (exponent == 0 && mantissa == 0)
			tag = 1;
		else if (exponent == 0x7fff || exponent == 0 || !(mantissa >> 63))
			tag = 2;
		tags |= (uint16_t)(tag << (2 * phys));
	}
	return tags;
}

void gdb_hex(GString *out, const uint8_t *buf, size_t n)
{
	for (size_t i = 0; i < n; i++)
		g_string_append_printf(out, "%02x", buf[i]);
}

bool gdb_unhex(const char *hex, size_t n_bytes, uint8_t *buf)
{
	for (size_t i = 0; i < n_bytes; i++) {
		const int hi = g_ascii_xdigit_value(hex[2 * i]);
		const int lo = hi < 0 ? -1 : g_ascii_xdigit_value(hex[2 * i + 1]);
		if (lo < 0)
			return false;
		buf[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

void gdb_reg_read(const struct x86_state *s, unsigned n, GString *out)
{
	size_t off;
	const struct reg_row *r = find(n, &off);
	uint8_t buf[16] = { 0 };
	uint16_t tags;

	if (!r)
		return;
	if (r->kind == REG_TAG) {
		tags = tag_word(s->xsave);
		memcpy(buf, &tags, sizeof(tags));
	} else {
		memcpy(buf, (const char *)s + off, r->size);
	}
	gdb_hex(out, buf, r->bits / 8);
}

const char *gdb_reg_write(struct x86_state *s, unsigned n, const char *hex)
{
	size_t off;
	const struct reg_row *r = find(n, &off);
	uint8_t buf[16];
	uint8_t used = 0;

	if (!r || !gdb_unhex(hex, r->bits / 8, buf))
		return NULL;
	if (r->kind == REG_PLAIN)
		memcpy((char *)s + off, buf, r->size);
	if (r->kind == REG_TAG) {
		for (unsigned phys = 0; phys < 8; phys++)
			if ((buf[phys / 4] >> (2 * (phys % 4)) & 3) != 3)
				used |= (uint8_t)(1 << phys);
		s->xsave[FX_ABRIDGED_TAG] = used;
	}
	return hex + r->bits / 4;
}
