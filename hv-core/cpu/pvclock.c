/*
 * kvmclock pages (Linux: Documentation/virt/kvm/x86/msr.rst). The page's base is the virtual
 * clock's zero, not "now": so the pages of all vCPUs say exactly the same, and remain right when
 * the machine is saved and goes on later.
 */
#include "cpu/pvclock.h"
#include "base/util.h"
#include "cpu/vcpu.h"

#define FLAG_TSC_STABLE 1

struct system_time {
	uint32_t version; /* odd: being written */
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags;
	uint8_t pad1[2];
};
_Static_assert(sizeof(struct system_time) == 32, "the guest's layout");

struct wall_clock {
	uint32_t version;
	uint32_t sec;
	uint32_t nsec;
};

void hv_pvclock_scale(uint64_t tsc_hz, uint32_t *ret_mul, int8_t *ret_shift)
{
	/* 2^64 ns per tick, for 1 Hz and up below 2^94 */
	unsigned __int128 ratio = ((unsigned __int128)HV_NS_PER_SEC << 64) / tsc_hz;
	int bits = 0;

	while (bits < 128 && ratio >> bits != 0)
		bits++;
	*ret_mul = (uint32_t)(bits >= 32 ? ratio >> (bits - 32) : ratio << (32 - bits));
	*ret_shift = (int8_t)(bits - 64);
}

/* Version odd, contents, version even; -EFAULT from any of them ends it. */
static void publish(struct hv_mem *mem, uint64_t gpa, void *page, size_t bytes)
{
	uint32_t version;

	if (hv_mem_read(mem, gpa, &version, sizeof(version)) < 0)
		return;
	version |= 1;
	memcpy(page, &version, sizeof(version));
	if (hv_mem_write(mem, gpa, page, bytes) < 0)
		return;
	__asm__ volatile("" ::: "memory"); /* stores are seen in this order on this host */
	version++;
	int r = hv_mem_write(mem, gpa, &version, sizeof(version));
	(void)r; /* it was RAM a moment ago */
}

void hv_pvclock_set_system_time(struct hv_vcpu *v, uint64_t msr, uint64_t tsc_offset)
{
	struct system_time page = { .tsc_timestamp = tsc_offset, .flags = FLAG_TSC_STABLE };

	if (!(msr & 1))
		return;
	hv_pvclock_scale(hv_clock_tsc_hz(v->vm->clock), &page.mul, &page.shift);
	publish(v->vm->mem, msr & ~1ull, &page, sizeof(page));
}

void hv_pvclock_set_wall(struct hv_vcpu *v, uint64_t msr)
{
	uint64_t zero_ns = hv_clock_wall_ns(v->vm->clock) - hv_clock_now_ns(v->vm->clock);
	struct wall_clock page = {
		.sec = (uint32_t)(zero_ns / HV_NS_PER_SEC),
		.nsec = (uint32_t)(zero_ns % HV_NS_PER_SEC),
	};

	publish(v->vm->mem, msr, &page, sizeof(page));
}
