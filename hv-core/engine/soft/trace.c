/*
 * The instruction and state trace: a line an instruction, written before it runs, so that two
 * traces of the same guest can be compared by text tools:
 *
 *   CPU COUNT CS:RIP FLAGS RAX RCX RDX RBX RSP RBP RSI RDI R8 ... R15 CR3 BYTES
 *
 * CPU and COUNT (instructions done before) are decimal, all else hexadecimal, and of fixed width
 * but for the instruction's BYTES. FLAGS is RFLAGS as pushf would store it.
 */
#include "engine/soft/trace.h"
#include <unistd.h>
#include "engine/soft/mmu.h"

static char *put_hex(char *p, uint64_t x, unsigned digits)
{
	for (unsigned i = digits; i-- > 0;)
		*p++ = "0123456789abcdef"[x >> (i * 4) & 15];
	return p;
}

static char *put_dec(char *p, uint64_t x)
{
	char tmp[20];
	unsigned n = 0;

	do
		tmp[n++] = (char)('0' + x % 10);
	while ((x /= 10) != 0);
	while (n > 0)
		*p++ = tmp[--n];
	return p;
}

static char *put_bytes(char *p, struct soft_vcpu *v, const struct insn *i)
{
	for (unsigned k = 0; k < i->len; k++) {
		uint64_t lin = v->code64 ? i->ip + k
					 : (uint32_t)(v->s.seg[X86_CS].base + i->ip + k);
		const struct soft_fetch *f = soft_fetch(v, lin); /* it was there to be decoded */

		if (f->host == NULL)
			break; /* a device's */
		p = put_hex(p, f->host[lin & ~HV_PAGE_MASK], 2);
	}
	return p;
}

void soft_trace_insn(struct soft_vcpu *v, const struct insn *i)
{
	char line[512], *p = line;

	p = put_dec(p, v->hv->index);
	*p++ = ' ';
	p = put_dec(p, v->stats.instructions);
	*p++ = ' ';
	p = put_hex(p, v->s.seg[X86_CS].sel, 4);
	*p++ = ':';
	p = put_hex(p, i->ip, 16);
	*p++ = ' ';
	p = put_hex(p, soft_rflags(v), 8);
	for (unsigned r = 0; r < 16; r++) {
		*p++ = ' ';
		p = put_hex(p, v->s.gpr[r], 16);
	}
	*p++ = ' ';
	p = put_hex(p, v->s.cr3, 16);
	*p++ = ' ';
	p = put_bytes(p, v, i);
	*p++ = '\n';
	soft_outside_begin(v);
	/* One write a line: lines of several vCPUs do not mix. What cannot be written is lost. */
	ssize_t n = write(v->hv->vm->opt.trace_fd, line, (size_t)(p - line));

	(void)n;
	soft_outside_end(v);
}
