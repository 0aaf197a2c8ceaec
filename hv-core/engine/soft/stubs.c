/*
 * Native stubs: small functions that each run one guest instruction, re-encoded (simd_encode.c), on
 * the host. All vCPUs of a VM share them. The code lives in memory that is mapped twice, once
 * writable and once executable, so that no page is ever both. A guest may make more distinct
 * instructions than there is room for: the rest runs from a slot of the vCPU's own that is written
 * anew whenever it has to hold another instruction.
 *
 * Layout: a RET (where faulted stubs go on), the vCPUs' slots, then stubs, 16-byte aligned, never
 * moved or freed before the VM ends: vCPUs hold pointers to them in their block caches.
 */
#include "engine/soft/fpu.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "engine/soft/exec_mem.h"

#define STUB_REGION_BYTES HV_MIB(4)
#define STUB_MAX_BYTES 96u /* of one stub, with alignment */
#define STUB_TABLE_SIZE (1u << 17)

struct stub_row {
	uint64_t name; /* 0: free; no instruction is only zeros */
	const void *code;
};

struct soft_stubs {
	pthread_mutex_t lock;
	uint8_t *rw;		/* owned mapping */
	uint8_t *rx;		/* owned mapping of the same memory */
	uint32_t used;		/* bytes; under lock */
	uint32_t n_slots;	/* vCPUs attached; under lock */
	uint32_t n_stubs;	/* under lock */
	struct stub_row *table; /* owned; under lock */
};

int soft_stubs_create(struct soft_vm *vm, struct err *e)
{
	struct soft_stubs *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	vm->stubs = s;
	pthread_mutex_init(&s->lock, NULL);
	s->table = calloc(STUB_TABLE_SIZE, sizeof(*s->table));
	r = s->table == NULL ? err_set(e, -ENOMEM, "out of memory")
			     : soft_exec_map(STUB_REGION_BYTES, NULL, &s->rw, &s->rx, e);
	if (r < 0) {
		soft_stubs_destroy(vm);
		return r;
	}
	s->rw[0] = 0xc3;
	s->used = STUB_MAX_BYTES * (HV_MAX_VCPUS + 1);
	return 0;
}

void soft_stubs_destroy(struct soft_vm *vm)
{
	struct soft_stubs *s = vm->stubs;

	if (s == NULL)
		return;
	if (s->rw != NULL && s->rw != MAP_FAILED)
		munmap(s->rw, STUB_REGION_BYTES);
	if (s->rx != NULL && s->rx != MAP_FAILED)
		munmap(s->rx, STUB_REGION_BYTES);
	pthread_mutex_destroy(&s->lock);
	free(s->table);
	free(s);
	vm->stubs = NULL;
}

void soft_stubs_range(const struct soft_vm *vm, uintptr_t *ret_lo, uintptr_t *ret_hi)
{
	*ret_lo = (uintptr_t)vm->stubs->rx;
	*ret_hi = *ret_lo + STUB_REGION_BYTES;
}

int soft_stubs_attach(struct soft_vcpu *v, struct err *e)
{
	struct soft_stubs *s = v->vm->stubs;
	uint32_t slot;

	pthread_mutex_lock(&s->lock);
	slot = s->n_slots < HV_MAX_VCPUS ? ++s->n_slots : 0;
	pthread_mutex_unlock(&s->lock);
	if (slot == 0)
		return err_set(e, -ENOSPC, "more than %d vCPUs", HV_MAX_VCPUS);
	v->fpu->scratch_rw = s->rw + slot * STUB_MAX_BYTES;
	v->fpu->scratch_rx = s->rx + slot * STUB_MAX_BYTES;
	v->fpu->scratch_insn = 0;
	return 0;
}

/* ---- code ---- */

static uint8_t *put(uint8_t *p, uint32_t n, uint32_t bytes)
{
	for (uint32_t i = 0; i < n; i++)
		*p++ = (uint8_t)(bytes >> 8 * (n - 1 - i));
	return p;
}

static uint8_t *put_loads(uint8_t *p, uint16_t attr)
{
	if (attr & STUB_FLAGS) {
		p = put(p, 4, 0x0fb74630); /* movzx eax, word [rsi + 48] */
		p = put(p, 2, 0x047f);	   /* add al, 127: OF = bit 0 */
		p = put(p, 1, 0x9e);	   /* sahf */
	}
	if (attr & STUB_REG)
		p = put(p, 3, 0x4c8b06); /* mov r8, [rsi] */
	if (attr & STUB_RM)
		p = put(p, 4, 0x4c8b4e08); /* mov r9, [rsi + 8] */
	if (attr & STUB_VVVV)
		p = put(p, 4, 0x4c8b5610); /* mov r10, [rsi + 16] */
	if (attr & STUB_RAX)
		p = put(p, 4, 0x488b4618); /* mov rax, [rsi + 24] */
	if (attr & STUB_RDX)
		p = put(p, 4, 0x488b5620); /* mov rdx, [rsi + 32] */
	return p;
}

static uint8_t *put_stores(uint8_t *p, uint16_t attr)
{
	if (attr & STUB_W_REG)
		p = put(p, 3, 0x4c8906); /* mov [rsi], r8 */
	if (attr & STUB_W_RM)
		p = put(p, 4, 0x4c894e08); /* mov [rsi + 8], r9 */
	if (attr & STUB_W_VVVV)
		p = put(p, 4, 0x4c895610); /* mov [rsi + 16], r10 */
	if (attr & STUB_W_RAX)
		p = put(p, 4, 0x48894618); /* mov [rsi + 24], rax */
	if (attr & STUB_W_RCX)
		p = put(p, 4, 0x48894e28); /* mov [rsi + 40], rcx */
	if (attr & STUB_FLAGS) {
		p = put(p, 3, 0x0f90c0);   /* seto al */
		p = put(p, 1, 0x9f);	   /* lahf */
		p = put(p, 4, 0x66894630); /* mov [rsi + 48], ax */
	}
	return p;
}

_Static_assert(offsetof(struct stub_io, vvvv) == 16 && offsetof(struct stub_io, rdx) == 32 &&
		       offsetof(struct stub_io, fl) == 48,
	       "as in the code above");

static uint32_t emit(uint8_t *to, const struct stub_insn *n)
{
	uint8_t *p = put_loads(to, n->attr);

	for (unsigned i = 0; i < n->len; i++)
		*p++ = n->bytes[i];
	p = put_stores(p, n->attr);
	p = put(p, 3, 0x31c0c3); /* xor eax, eax; ret */
	return (uint32_t)(p - to);
}

static struct stub_row *find_row(struct soft_stubs *s, uint64_t name)
{
	uint64_t h = name * 0x9e3779b97f4a7c15ull >> 47;

	for (;; h++) {
		struct stub_row *row = &s->table[h & (STUB_TABLE_SIZE - 1)];

		if (row->name == name || row->name == 0)
			return row;
	}
}

const void *soft_stub_get(struct soft_vm *vm, const struct stub_insn *n)
{
	struct soft_stubs *s = vm->stubs;
	struct stub_row *row;
	const void *code;

	pthread_mutex_lock(&s->lock);
	row = find_row(s, n->name);
	/* A quarter of the table stays free: a search always ends. */
	if (row->name == 0 && s->used + STUB_MAX_BYTES <= STUB_REGION_BYTES &&
	    s->n_stubs < STUB_TABLE_SIZE / 4 * 3) {
		row->name = n->name;
		row->code = s->rx + s->used;
		s->used += (uint32_t)hv_align_up(emit(s->rw + s->used, n), 16);
		s->n_stubs++;
	}
	code = row->name == n->name ? row->code : NULL;
	pthread_mutex_unlock(&s->lock);
	return code;
}

/* The CPU may have fetched the old bytes through the other mapping: IRET serialises. */
static void serialise(void)
{
	uint64_t tmp;

	__asm__ volatile("mov %%ss, %k0\n\t"
			 "lea -128(%%rsp), %%rsp\n\t" /* keep off the red zone */
			 "mov %%rsp, %%rcx\n\t"
			 "push %0\n\t"
			 "push %%rcx\n\t"
			 "pushfq\n\t"
			 "mov %%cs, %k0\n\t"
			 "push %0\n\t"
			 "lea 1f(%%rip), %0\n\t"
			 "push %0\n\t"
			 "iretq\n"
			 "1:\tlea 128(%%rsp), %%rsp"
			 : "=&r"(tmp)
			 :
			 : "rcx", "memory", "cc");
}

const void *soft_stub_scratch(struct soft_vcpu *v, const struct stub_insn *n)
{
	struct soft_fpu *f = v->fpu;

	if (f->scratch_insn != n->name) {
		emit(f->scratch_rw, n);
		f->scratch_insn = n->name;
		serialise();
	}
	return f->scratch_rx;
}
