/* Shared by lapic.c (registers), lapic_timer.c and lapic_bus.c (messages, arbitration). */
#ifndef DEVMODEL_CHIPSET_LAPIC_INT_H
#define DEVMODEL_CHIPSET_LAPIC_INT_H
#include "devmodel/chipset/lapic.h"

#define LAPIC_VERSION 0x01050014u /* version 14h, 6 LVT entries, EOI broadcast can be off */

enum {
	APIC_ID = 0x20,
	APIC_VERSION = 0x30,
	APIC_TPR = 0x80,
	APIC_APR = 0x90,
	APIC_PPR = 0xa0,
	APIC_EOI = 0xb0,
	APIC_RRD = 0xc0,
	APIC_LDR = 0xd0,
	APIC_DFR = 0xe0,
	APIC_SVR = 0xf0,
	APIC_ISR = 0x100,
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_ICR = 0x300,
	APIC_ICR2 = 0x310,
	APIC_LVT_FIRST = 0x320,
	APIC_INIT_COUNT = 0x380,
	APIC_CUR_COUNT = 0x390,
	APIC_DIVIDE = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, N_LVT };
extern const uint32_t lapic_lvt_bits[N_LVT];
enum { LVT_MASKED = 1 << 16, LVT_LEVEL = 1 << 15, LVT_TIMER_MODE = 3 << 17 };
enum { TIMER_ONE_SHOT, TIMER_PERIODIC = 1 << 17, TIMER_DEADLINE = 2 << 17 };
enum { SVR_ON = 1 << 8, SVR_NO_EOI_BROADCAST = 1 << 12, SVR_KEPT = 0x13ff };
enum { BASE_BSP = 1 << 8, BASE_X2 = 1 << 10, BASE_ON = 1 << 11 };
enum { ESR_SEND_VECTOR = 1 << 5, ESR_RECV_VECTOR = 1 << 6 };
enum { ICR_LOGICAL = 1 << 11, ICR_ASSERT = 1 << 14, ICR_LEVEL = 1 << 15, ICR_SHORTHAND = 3 << 18 };

STATE_LAYOUT_BEGIN
struct lapic_state {
	uint64_t apic_base;
	uint64_t deadline_tsc; /* IA32_TSC_DEADLINE; 0: disarmed */
	uint64_t expiry_ns;    /* of the timer, virtual time, or DEV_TIMER_OFF */
	uint32_t irr[8], isr[8], tmr[8];
	uint32_t lvt[N_LVT];
	uint32_t ldr, dfr, svr, icr, icr2;
	uint32_t esr, errors; /* as read; gathered since the last write */
	uint32_t init_count, divide;
	uint8_t tpr;
	uint8_t lint; /* input levels */
	bool extint;  /* a message from the IOAPIC asks for the PIC */
	uint8_t pad_[1];
};
STATE_LAYOUT_END

struct lapic {
	struct dev dev;
	struct lapic_state s;
	struct lapic_bus *bus; /* borrowed */
	uint32_t id;	       /* option */
	uint32_t phys_bits;    /* option */
	bool intr;	       /* what the CPU was told last */
};

struct lapic *lapic_from_dev(struct dev *d);
static inline bool lapic_is_x2(const struct lapic *l)
{
	return (l->s.apic_base & BASE_X2) != 0;
}

/* ---- lapic_bus.c ---- */

/* A vector arrives; dropped while the APIC is switched off. */
void lapic_accept(struct lapic *l, uint8_t vector, bool level);
/* Any message that was addressed to this one. */
void lapic_deliver(struct lapic *l, uint8_t mode, uint8_t vector, bool level);
void lapic_send_ipi(struct lapic *l);
void lapic_error(struct lapic *l, uint32_t bit);
uint8_t lapic_ppr(const struct lapic *l);
/* Tells the CPU whether something waits. After any change of IRR, ISR, TPR, LINT0. */
void lapic_follow(struct lapic *l);
/* The same whatever the CPU was told last. */
void lapic_tell(struct lapic *l);
/* The next vector, marked in service; -1: none. */
int lapic_ack(struct lapic *l);
void lapic_eoi(struct lapic *l);
void lapic_set_lint(struct lapic *l, unsigned pin, bool level);

/* ---- lapic_page.c: for engines that have the local APICs in them ---- */

/* The domain is held. */
void lapic_page_get(struct lapic *l, struct hv_lapic_page *ret_page);
void lapic_page_set(struct lapic *l, const struct hv_lapic_page *page);

/* ---- lapic_timer.c ---- */

uint64_t lapic_ns_per_count(const struct lapic *l);

uint32_t lapic_timer_mode(const struct lapic *l); /* TIMER_ONE_SHOT and so on */
void lapic_arm(struct lapic *l, uint64_t expiry_ns);
uint32_t lapic_current_count(const struct lapic *l);
void lapic_write_init_count(struct lapic *l, uint32_t v);
void lapic_write_divide(struct lapic *l, uint32_t v);
/* By deadline_tsc. */
void lapic_arm_deadline(struct lapic *l);
/* dev_class.timer. */
void lapic_timer_due(struct dev *d, unsigned timer);
#endif
