/* Room on the host, see room.h. */
#include "vm/room.h"
#include "base/log.h"
#include "base/util.h"
#include "devmodel/storage/live.h"
#include "vm/vm.h"

#define RETRY_NS HV_NS_PER_SEC

/* The first disk from i on that waits; as many as there are disks: none. */
static unsigned next_full(const struct vm *vm, unsigned i)
{
	const struct vm_files *f = &vm->files;

	while (i < vm->cfg.n_disks &&
	       !(f->disk[i] && blk_is_live(f->disk[i]) && blk_live_full(f->disk[i])))
		i++;
	return i;
}

static void arm(struct vm *vm)
{
	loop_timer_arm(vm->loop, &vm->room.retry, loop_now_ns() + RETRY_NS);
}

void room_retry(struct vm *vm)
{
	for (unsigned i = next_full(vm, 0); i < vm->cfg.n_disks; i = next_full(vm, i + 1))
		blk_live_retry(vm->files.disk[i]);
}

static void on_retry(void *ctx)
{
	struct vm *vm = ctx;

	if (!vm->room.full || vm->quitting)
		return;
	room_retry(vm);
	arm(vm);
}

static void on_changed(void *ctx)
{
	struct vm *vm = ctx;
	const unsigned i = next_full(vm, 0);

	if (vm->quitting)
		return;
	if (i == vm->cfg.n_disks) {
		if (vm->room.full)
			vm_has_room(vm);
	} else if (!vm->room.full) {
		log_msg(LOG_LVL_ERROR, "disk",
			"no room on the host for disk %s ('%s'): VM \"%s\" waits, and goes on when "
			"there is some",
			vm->cfg.disk[i].name, vm->cfg.disk[i].file, vm_name(vm));
		vm_has_no_room(vm);
		arm(vm);
	}
}

/* In whatever thread a request failed. */
static void tell(void *ctx)
{
	struct vm *vm = ctx;

	loop_post(vm->loop, &vm->room.changed);
}

void room_watch(struct vm *vm)
{
	vm->room.changed = (struct loop_work){ .fn = on_changed, .ctx = vm };
	vm->room.retry = (struct loop_timer){ .fn = on_retry, .ctx = vm };
	for (unsigned i = 0; i < vm->cfg.n_disks; i++)
		if (vm->files.disk[i] && blk_is_live(vm->files.disk[i]))
			blk_live_wait_for_room(vm->files.disk[i], tell, vm);
}

void room_finish(struct vm *vm)
{
	if (!vm->room.changed.fn)
		return;
	loop_unpost(vm->loop, &vm->room.changed);
	loop_timer_forget(vm->loop, &vm->room.retry);
}
