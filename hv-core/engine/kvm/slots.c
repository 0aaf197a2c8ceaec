/*
 * Guest memory: the kernel gets the visible pieces of the map that are RAM or ROM as its memory
 * slots. Everything else, and what a slot cannot hold (parts of pages), comes back as accesses to
 * be done by the bus. A piece cannot be moved or shrunk in place: while one goes and another comes,
 * no vCPU is in the guest.
 */
#include <stdlib.h>
#include "base/log.h"
#include "base/util.h"
#include "engine/kvm/kvm.h"

static bool same_place(const struct kvm_slot *a, const struct kvm_slot *b)
{
	return a->gpa == b->gpa && a->bytes == b->bytes && a->ram == b->ram &&
	       a->ram_off == b->ram_off && a->read_only == b->read_only;
}

static int put(struct kvm_vm *vm, unsigned i, uint64_t bytes)
{
	const struct kvm_slot *s = &vm->slot[i];
	const struct kvm_userspace_memory_region r = {
		.slot = i,
		.flags = (s->read_only ? KVM_MEM_READONLY : 0u) |
			 (s->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0u),
		.guest_phys_addr = s->gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)hv_ram_host(s->ram) + s->ram_off,
	};
	const int ret = kvm_call(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);

	if (ret < 0)
		log_msg(LOG_LVL_ERROR, "kvm", "slot %u of %s at %#llx, %#llx bytes: %s", i,
			hv_ram_name(s->ram), (unsigned long long)s->gpa, (unsigned long long)bytes,
			strerror(-ret));
	return ret;
}

/* ---- dirty log ---- */

static void mark(const struct kvm_slot *s, const uint64_t *bits, uint64_t words)
{
	for (uint64_t i = 0; i < words; i++)
		for (uint64_t w = bits[i]; w != 0; w &= w - 1) {
			const uint64_t page = i * 64 + (unsigned)__builtin_ctzll(w);
			hv_ram_dirty_mark(s->ram, s->ram_off + page * HV_PAGE_SIZE, HV_PAGE_SIZE);
		}
}

/* What the guest wrote since the last time; without memory for the answer, all of it. */
static void fetch_log(struct kvm_vm *vm, unsigned i)
{
	const struct kvm_slot *s = &vm->slot[i];
	const uint64_t words = (s->bytes / HV_PAGE_SIZE + 63) / 64;
	uint64_t *bits = calloc(words, sizeof(*bits));
	const struct kvm_dirty_log log = { .slot = i, .dirty_bitmap = bits };

	if (bits != NULL && kvm_call(vm->fd, KVM_GET_DIRTY_LOG, &log) >= 0)
		mark(s, bits, words);
	else
		hv_ram_dirty_mark(s->ram, s->ram_off, s->bytes);
	free(bits);
}

static void dirty_sync(void *ctx, struct hv_ram *ram)
{
	struct kvm_vm *vm = ctx;

	pthread_mutex_lock(&vm->slots_lock);
	for (unsigned i = 0; i < vm->max_slots; i++)
		if (vm->slot[i].bytes != 0 && vm->slot[i].ram == ram && vm->slot[i].logged)
			fetch_log(vm, i);
	pthread_mutex_unlock(&vm->slots_lock);
}

static void dirty_log(void *ctx, struct hv_ram *ram, bool on)
{
	struct kvm_vm *vm = ctx;

	pthread_mutex_lock(&vm->slots_lock);
	for (unsigned i = 0; i < vm->max_slots; i++) {
		struct kvm_slot *s = &vm->slot[i];
		if (s->bytes == 0 || s->ram != ram || s->logged == on || s->read_only)
			continue;
		s->logged = on;
		put(vm, i, s->bytes);
	}
	pthread_mutex_unlock(&vm->slots_lock);
}

/* ---- the map ---- */

/* The whole pages of RAM or ROM at gpa, and where the next piece begins (0: there is none). */
static bool piece_at(struct kvm_vm *vm, uint64_t gpa, struct kvm_slot *ret_slot, uint64_t *ret_next)
{
	struct hv_mem_slice p;

	hv_mem_find(vm->hv->mem, gpa, &p);
	*ret_next = p.bytes == UINT64_MAX ? 0 : p.gpa + p.bytes;
	if (p.kind != HV_MAP_RAM && p.kind != HV_MAP_ROM)
		return false;
	const uint64_t first = hv_align_up(p.gpa, HV_PAGE_SIZE);
	const uint64_t end = (p.gpa + p.bytes) & HV_PAGE_MASK;
	if (end <= first)
		return false;
	*ret_slot = (struct kvm_slot){
		.gpa = first,
		.bytes = end - first,
		.ram = p.ram,
		.ram_off = p.ram_off + (first - p.gpa),
		.read_only = p.kind == HV_MAP_ROM,
		.logged = p.kind == HV_MAP_RAM && hv_ram_dirty_on(p.ram),
	};
	return true;
}

static unsigned wanted_slots(struct kvm_vm *vm, struct kvm_slot *ret_slots)
{
	uint64_t gpa = 0;
	unsigned n = 0;

	do {
		struct kvm_slot s;
		if (!piece_at(vm, gpa, &s, &gpa))
			continue;
		if (n == vm->max_slots) {
			log_msg(LOG_LVL_ERROR, "kvm", "more than %u pieces of memory",
				vm->max_slots);
			break;
		}
		ret_slots[n++] = s;
	} while (gpa != 0);
	return n;
}

static bool is_there(const struct kvm_slot *slots, unsigned n, const struct kvm_slot *s)
{
	for (unsigned i = 0; i < n; i++)
		if (slots[i].bytes != 0 && same_place(&slots[i], s))
			return true;
	return false;
}

static void take_away(struct kvm_vm *vm, unsigned i)
{
	if (vm->slot[i].logged)
		fetch_log(vm, i);
	put(vm, i, 0);
	vm->slot[i] = (struct kvm_slot){ 0 };
}

static void add(struct kvm_vm *vm, const struct kvm_slot *s)
{
	unsigned i = 0;

	while (vm->slot[i].bytes != 0)
		i++; /* there are no more wanted than there is room for */
	vm->slot[i] = *s;
	if (put(vm, i, s->bytes) < 0)
		vm->slot[i] = (struct kvm_slot){ 0 };
}

static void follow_map(struct kvm_vm *vm)
{
	static _Thread_local struct kvm_slot wanted[KVM_SLOTS_MAX];
	bool closed = false;

	pthread_mutex_lock(&vm->slots_lock);
	const unsigned n = wanted_slots(vm, wanted);
	for (unsigned i = 0; i < vm->max_slots; i++) {
		if (vm->slot[i].bytes == 0 || is_there(wanted, n, &vm->slot[i]))
			continue;
		if (!closed)
			kvm_gate_close(vm);
		closed = true;
		take_away(vm, i);
	}
	for (unsigned i = 0; i < n; i++)
		if (!is_there(vm->slot, vm->max_slots, &wanted[i]))
			add(vm, &wanted[i]);
	if (closed)
		kvm_gate_open(vm);
	kvm_bells_follow(vm);
	pthread_mutex_unlock(&vm->slots_lock);
}

static void map_changed(void *ctx, uint64_t gpa, uint64_t bytes)
{
	(void)gpa;
	(void)bytes;
	follow_map(ctx);
}

int kvm_slots_init(struct kvm_vm *vm, struct err *e)
{
	const int have = kvm_sys->ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);

	if (have < 32)
		return err_set(e, -ENOTSUP, "KVM has only %d memory slots", have < 0 ? 0 : have);
	vm->max_slots = (unsigned)hv_min_u64((unsigned)have, KVM_SLOTS_MAX);
	vm->listener = (struct hv_mem_listener){
		.map_changed = map_changed,
		.dirty_sync = dirty_sync,
		.dirty_log = dirty_log,
		.ctx = vm,
	};
	hv_mem_listen(vm->hv->mem, &vm->listener);
	follow_map(vm);
	return 0;
}

void kvm_slots_finish(struct kvm_vm *vm)
{
	hv_mem_unlisten(vm->hv->mem, &vm->listener);
	pthread_mutex_destroy(&vm->slots_lock);
}
