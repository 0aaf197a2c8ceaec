/*
 * What is translated together. A block that is due is followed by the block that came after it most
 * often in the interpreter, and so on: the trace. Ways that leave it in between are side exits; one
 * that leads back to the head makes it a loop. All of a trace lies in one page.
 */
#include "engine/soft/translate/gen.h"

static bool decode_one(struct gen *g, const struct block *b, const struct insn *i,
		       struct decoded *d)
{
	uint64_t off = (b->lin & 4095) + (i->ip - b->ip);

	for (unsigned k = 0; k < i->len; k++)
		d->bytes[k] = off + k < HV_PAGE_SIZE ? b->host[0][off + k]
						     : b->host[1][off + k - HV_PAGE_SIZE];
	return decode_again(g->v, d, i->len);
}

static bool append(struct gen *g, const struct block *b)
{
	if (g->n_insns + b->n > BLOCK_MAX_INSNS)
		return false;
	for (unsigned k = 0; k < b->n; k++) {
		unsigned n = g->n_insns++;

		g->insns[n] = b->insns[k];
		g->known[n] = decode_one(g, b, &b->insns[k], &g->decoded[n]);
	}
	return true;
}

static bool is_jcc(const struct decoded *d)
{
	return (d->z.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (d->z.opcode & 0xf0) == 0x70) ||
	       (d->z.opcode_map == ZYDIS_OPCODE_MAP_0F && (d->z.opcode & 0xf0) == 0x80);
}

/* The way on from b, whose last instruction was decoded last; NULL: the trace ends there. */
static struct block *follower(const struct gen *g, const struct block *b)
{
	const struct insn *last = &g->insns[g->n_insns - 1];
	const struct decoded *d = &g->decoded[g->n_insns - 1];
	unsigned way = 0;

	if (!g->known[g->n_insns - 1])
		return NULL;
	if (last->flags & INSN_END) {
		if (!(last->flags & INSN_BRANCH))
			return NULL;
		if (is_jcc(d))
			way = b->taken > b->runs / 2;
		else if (d->z.mnemonic == ZYDIS_MNEMONIC_JMP)
			way = last->imm != b->end_ip;
		else
			return NULL;
	}
	struct block *next = b->next[way];

	if (next == NULL || !b->near_link[way] || next->key != b->key || next->code != NULL ||
	    next->crosses)
		return NULL;
	return next->ip == (way == 0 ? b->end_ip : last->imm) ? next : NULL;
}

static struct block *joined(struct gen *g, struct block *head, uint64_t mask, uint64_t end_ip)
{
	struct block *t = block_trace(g->v, head, g->n_insns, mask);

	if (t == NULL)
		return NULL;
	for (unsigned k = 0; k < g->n_insns; k++)
		t->insns[k] = g->insns[k];
	t->end_ip = end_ip;
	return t;
}

void gen_decode_again(struct gen *g, struct block *b)
{
	g->b = b;
	for (unsigned k = 0; k < b->n; k++)
		g->known[k] = decode_one(g, b, &b->insns[k], &g->decoded[k]);
}

void gen_trace(struct gen *g, struct block *head)
{
	struct block *part[TR_MAX_PARTS], *next = head;
	unsigned n = 0, head_insns;
	uint64_t mask = 0, end_ip = 0;

	g->n_insns = 0;
	do {
		for (unsigned k = 0; k < n; k++)
			if (part[k] == next)
				next = NULL;
		if (next == NULL || !append(g, next))
			break;
		part[n++] = next;
		mask |= next->mask;
		end_ip = next->end_ip;
		next = follower(g, next);
	} while (next != NULL && n < g->v->tr->max_parts);
	head_insns = head->n;
	g->b = n > 1 ? joined(g, head, mask, end_ip) : head;
	if (g->b == NULL) {
		g->b = head;
		g->n_insns = head_insns;
	}
}
