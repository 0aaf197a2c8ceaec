/*
 * ACPI power management: fixed events, sleep, the 3.58 MHz timer, general-purpose events, and the
 * registers of SMI and TCO as far as they are probed.
 *
 * Specification: Intel ICH9 datasheet, 13.8 (power management), 13.9 (TCO), 13.10 (APM ports); ACPI
 * 6.4, 4.8.
 *
 * Not modelled: SMM, so SMI_EN.APMC_EN is set from reset on and firmware leaves it alone;
 * ACPI_ENABLE and ACPI_DISABLE are done by the APM port itself. The TCO watchdog never bites (it is
 * halted at reset; its registers are storage). RTC_STS: the machine does not sleep by itself.
 */
#include "devmodel/chipset/pm.h"
#include "devmodel/machine/trace_points.h"

enum { REGION_PM, REGION_APM };
enum {
	R_PM1,
	R_PM1_CNT,
	R_TIMER,
	R_GPE_STS = 8,
	R_GPE_EN = 10,
	R_SMI_EN = 12,
	R_TCO = 24,
	R_TCO_STS
};
enum { STS_TIMER = 1, STS_GBL = 0x20, STS_BUTTON = 0x100, STS_RTC = 0x400, STS_WAKE = 0x8000 };
enum { STS_ALL = 0xcf31, EN_ALL = STS_TIMER | STS_GBL | STS_BUTTON | STS_RTC };
enum { CNT_SCI = 1, CNT_KEPT = 0x1c03, CNT_SLP_EN = 0x2000 };
#define SMI_EN_RESET 0x22u /* APMC_EN, EOS */
#define TCO_DWORDS 8u
#define TCO1_CNT_HALT 0x800u /* low half of TCO + 8 */

STATE_LAYOUT_BEGIN
struct pm_state {
	uint64_t toggles; /* of the timer's top bit since the clock's zero: seen so far */
	uint32_t gpe_sts[2], gpe_en[2];
	uint32_t cnt, smi_en;
	uint32_t tco[TCO_DWORDS];
	uint16_t sts, en;
	uint8_t apm[2];
	uint8_t pad_[2];
};
STATE_LAYOUT_END

struct pm {
	struct dev dev;
	struct pm_state s;
};

static struct pm *pm_from_dev(struct dev *d)
{
	assert(d->cls == &dm_pm);
	return (struct pm *)d;
}

/* The timer's top bit changes every 2^23 ticks. */
#define TOGGLE_TICKS (1u << 23)

static uint64_t timer_ticks(const struct pm *p)
{
	return hv_muldiv64(dev_now_ns(&p->dev), DM_PM_TIMER_HZ, HV_NS_PER_SEC);
}

static void catch_up(struct pm *p)
{
	const uint64_t n = timer_ticks(p) / TOGGLE_TICKS;

	if (n != p->s.toggles)
		p->s.sts |= STS_TIMER;
	p->s.toggles = n;
}

static void follow(struct pm *p)
{
	const uint32_t gpe = (p->s.gpe_sts[0] & p->s.gpe_en[0]) |
			     (p->s.gpe_sts[1] & p->s.gpe_en[1]);
	uint64_t when = DEV_TIMER_OFF;

	if ((p->s.en & STS_TIMER) && !(p->s.sts & STS_TIMER))
		when = (uint64_t)((unsigned __int128)(p->s.toggles + 1) * TOGGLE_TICKS *
					  HV_NS_PER_SEC / DM_PM_TIMER_HZ +
				  1);
	dev_timer_arm(&p->dev, 0, when);
	dev_irq_set(&p->dev, 0,
		    (p->s.cnt & CNT_SCI) && ((p->s.sts & p->s.en & EN_ALL) || gpe != 0));
}

static void sleep_now(struct pm *p)
{
	TRACE(pm_sleep, "type %u", p->s.cnt >> 10 & 7);
	switch (p->s.cnt >> 10 & 7) {
	case DM_PM_TYP_S3:
		dev_request(&p->dev, DEV_REQ_SLEEP, 3);
		break;
	case DM_PM_TYP_S4:
		dev_request(&p->dev, DEV_REQ_SLEEP, 4);
		break;
	case 0:
	case DM_PM_TYP_S5:
		dev_request(&p->dev, DEV_REQ_POWER_OFF, 0);
		break;
	default: /* S1: the CPU halts, if it likes */
		break;
	}
}

static uint32_t read_dword(struct pm *p, unsigned reg)
{
	switch (reg) {
	case R_PM1:
		catch_up(p);
		return p->s.sts | (uint32_t)p->s.en << 16;
	case R_PM1_CNT:
		return p->s.cnt;
	case R_TIMER:
		return timer_ticks(p) & 0xffffff;
	case R_GPE_STS:
	case R_GPE_STS + 1:
		return p->s.gpe_sts[reg - R_GPE_STS];
	case R_GPE_EN:
	case R_GPE_EN + 1:
		return p->s.gpe_en[reg - R_GPE_EN];
	case R_SMI_EN:
		return p->s.smi_en;
	default:
		return reg >= R_TCO ? p->s.tco[reg - R_TCO] : 0;
	}
}

static void set_bits(uint32_t *to, uint32_t v, uint32_t mask)
{
	*to = (*to & ~mask) | (v & mask);
}

/* Only the bytes under mask were written. */
static void write_dword(struct pm *p, unsigned reg, uint32_t v, uint32_t mask)
{
	uint32_t en = p->s.en;

	switch (reg) {
	case R_PM1:
		catch_up(p);
		p->s.sts &= (uint16_t) ~(v & mask);
		set_bits(&en, v >> 16, mask >> 16 & EN_ALL);
		p->s.en = (uint16_t)en;
		break;
	case R_PM1_CNT:
		set_bits(&p->s.cnt, v, mask & CNT_KEPT);
		if (v & mask & CNT_SLP_EN)
			sleep_now(p);
		break;
	case R_GPE_STS:
	case R_GPE_STS + 1:
		p->s.gpe_sts[reg - R_GPE_STS] &= ~(v & mask);
		break;
	case R_GPE_EN:
	case R_GPE_EN + 1:
		set_bits(&p->s.gpe_en[reg - R_GPE_EN], v, mask);
		break;
	case R_SMI_EN:
		set_bits(&p->s.smi_en, v, mask);
		break;
	default:
		if (reg >= R_TCO && reg != R_TCO_STS) /* nothing sets a status there */
			set_bits(&p->s.tco[reg - R_TCO], v, mask);
		break;
	}
	follow(p);
}

static uint64_t pm_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct pm *p = pm_from_dev(d);

	if (region == REGION_APM)
		return p->s.apm[off];
	return read_dword(p, (unsigned)off / 4) >> (off & 3) * 8 & (UINT32_MAX >> (32 - 8 * size));
}

static void write_apm(struct pm *p, unsigned off, uint8_t v)
{
	p->s.apm[off] = v;
	if (off != 0)
		return;
	if (v == DM_PM_ACPI_ENABLE)
		p->s.cnt |= CNT_SCI;
	else if (v == DM_PM_ACPI_DISABLE)
		p->s.cnt &= ~(uint32_t)CNT_SCI;
	follow(p);
}

static void pm_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct pm *p = pm_from_dev(d);
	const unsigned shift = (unsigned)(off & 3) * 8;

	if (region == REGION_APM)
		write_apm(p, (unsigned)off, (uint8_t)v);
	else
		write_dword(p, (unsigned)off / 4, (uint32_t)v << shift,
			    (UINT32_MAX >> (32 - 8 * size)) << shift);
}

static void pm_timer(struct dev *d, unsigned timer)
{
	struct pm *p = pm_from_dev(d);

	(void)timer; /* there is one */
	catch_up(p);
	follow(p);
}

void dm_pm_place(struct dev *d, uint16_t port, bool on)
{
	dev_region_map(d, REGION_PM, DEV_SPACE_PIO, port, on);
}

void dm_pm_power_button(struct dev *d)
{
	struct pm *p = pm_from_dev(d);

	TRACE(pm_power_button, "%s", d->id);
	p->s.sts |= STS_BUTTON;
	follow(p);
}

void dm_pm_wake(struct dev *d)
{
	struct pm *p = pm_from_dev(d);

	p->s.sts |= STS_WAKE;
	follow(p);
}

void dm_pm_gpe(struct dev *d, unsigned event)
{
	struct pm *p = pm_from_dev(d);

	assert(event < 64);
	p->s.gpe_sts[event / 32] |= 1u << event % 32;
	follow(p);
}

bool dm_pm_gpe_waits(struct dev *d, unsigned event)
{
	assert(event < 64);
	return pm_from_dev(d)->s.gpe_sts[event / 32] >> event % 32 & 1;
}

static void pm_state_init(void *obj)
{
	struct pm_state *s = obj;

	memset(s, 0, sizeof(*s));
	s->smi_en = SMI_EN_RESET;
	s->tco[0] = 4; /* reload value */
	s->tco[2] = TCO1_CNT_HALT;
	s->tco[4] = 4u << 16; /* TCO_TMR */
}

static int pm_post_load(void *obj, struct err *e)
{
	const struct pm_state *s = obj;

	if ((s->sts & ~STS_ALL) || (s->en & ~EN_ALL) || (s->cnt & ~(uint32_t)CNT_KEPT) ||
	    s->toggles > UINT32_MAX)
		return err_set(e, -EINVAL, "pm: impossible registers");
	return 0;
}

static void pm_reset(struct dev *d)
{
	struct pm *p = pm_from_dev(d);

	pm_state_init(&p->s);
	p->s.toggles = timer_ticks(p) / TOGGLE_TICKS;
	follow(p);
}

static void pm_resume(struct dev *d)
{
	follow(pm_from_dev(d));
}

static const struct state_desc pm_state = {
	.name = "pm",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct pm_state),
	.init = pm_state_init,
	.post_load = pm_post_load,
	.fields =
		(const struct state_field[]){
			STATE(struct pm_state, toggles), STATE_ARRAY(struct pm_state, gpe_sts),
			STATE_ARRAY(struct pm_state, gpe_en), STATE(struct pm_state, cnt),
			STATE(struct pm_state, smi_en), STATE_ARRAY(struct pm_state, tco),
			STATE(struct pm_state, sts), STATE(struct pm_state, en),
			STATE_ARRAY(struct pm_state, apm), STATE_PAD(struct pm_state, pad_),
			STATE_END },
};

const struct dev_class dm_pm = {
	.name = "pm",
	.summary = "ACPI power management block",
	.size = sizeof(struct pm),
	.state = &pm_state,
	.state_off = offsetof(struct pm, s),
	.regions = { [REGION_PM] = { "pm", DM_PM_BYTES, 1, 4 }, [REGION_APM] = { "apm", 2, 1, 1 } },
	.irqs = { "sci" },
	.n_timers = 1,
	.reset = pm_reset,
	.read = pm_read,
	.write = pm_write,
	.timer = pm_timer,
	.resume = pm_resume,
};
