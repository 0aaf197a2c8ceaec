/* Power management, DMA controllers and the small ports. */
#include "devmodel/chipset/debug_exit.h"
#include "devmodel/chipset/debugcon.h"
#include "devmodel/chipset/i8237.h"
#include "devmodel/chipset/pm.h"
#include "devmodel/chipset/port92.h"
#include "devmodel/chipset/post_port.h"
#include "devmodel/chipset/reset_ctl.h"
#include "devtest.h"

MACHINE_SETUP

#define SEC 1000000000ull
enum { STS = 0, EN = 2, CNT = 4, TMR = 8, GPE_STS = 0x20, GPE_EN = 0x28, SMI_EN = 0x30 };

static void test_pm_timer(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_pm);
	const uint64_t toggle_ns = (1ull << 23) * SEC / DM_PM_TIMER_HZ;

	const uint64_t a = rd(d, 0, TMR, 4);
	fake_env_advance(&m->f, d, SEC);
	assert_in_range(rd(d, 0, TMR, 4) - a, DM_PM_TIMER_HZ - 1, DM_PM_TIMER_HZ + 1);
	assert_int_equal(rd(d, 0, STS, 2), 0);
	fake_env_advance(&m->f, d, 2 * SEC); /* bit 23 changed; nobody had to watch */
	assert_int_equal(rd(d, 0, STS, 2), 1);
	wr(d, 0, STS, 2, 1);
	assert_int_equal(rd(d, 0, STS, 2), 0);
	wr(d, 0, EN, 2, 1);
	wr(d, 0, CNT, 2, 1);
	fake_env_run_until(&m->f, d, 2 * toggle_ns - 1000, 10);
	assert_false(m->f.irq[0]);
	save_and_load(d);
	fake_env_run_until(&m->f, d, 2 * toggle_ns + 1000, 10);
	assert_true(m->f.irq[0]);
	assert_true(rd(d, 0, TMR, 4) < 10); /* 24 bits */
	wr(d, 0, STS, 2, 1);
	assert_false(m->f.irq[0]);
}

static void test_pm_events(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_pm);

	assert_true(rd(d, 0, SMI_EN, 4) & 0x20); /* firmware then leaves SMM alone */
	dm_pm_power_button(d);
	assert_int_equal(rd(d, 0, STS, 2), 0x100);
	wr(d, 0, EN, 2, 0xffff);
	assert_int_equal(rd(d, 0, EN, 2), 0x521);
	assert_int_equal(rd(d, 0, EN + 1, 1), 0x05); /* bytes, too */
	assert_false(m->f.irq[0]);		     /* SCI is off */
	wr(d, 1, 0, 1, DM_PM_ACPI_ENABLE);
	assert_int_equal(rd(d, 0, CNT, 2), 1);
	assert_true(m->f.irq[0]);
	wr(d, 0, STS + 1, 1, 0x01);
	assert_false(m->f.irq[0]);
	dm_pm_gpe(d, 40);
	wr(d, 0, GPE_EN + 5, 1, 1);
	assert_true(m->f.irq[0]);
	wr(d, 0, GPE_STS + 4, 4, 0x100);
	assert_false(m->f.irq[0]);
	dm_pm_wake(d);
	assert_int_equal(rd(d, 0, STS, 2), 0x8000);
	wr(d, 1, 0, 1, DM_PM_ACPI_DISABLE);
	assert_int_equal(rd(d, 0, CNT, 2), 0);
	wr(d, 1, 1, 1, 0x77);
	assert_int_equal(rd(d, 1, 1, 1), 0x77);
	dm_pm_place(d, 0x600, true);
	assert_true(m->f.map[0].on && m->f.map[0].base == 0x600);
}

static void test_pm_sleep(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_pm);

	wr(d, 0, CNT, 2, DM_PM_TYP_S3 << 10);
	assert_int_equal(m->f.n_req, 0);
	wr(d, 0, CNT, 2, DM_PM_TYP_S3 << 10 | 0x2000);
	wr(d, 0, CNT, 2, DM_PM_TYP_S4 << 10 | 0x2000);
	wr(d, 0, CNT, 2, DM_PM_TYP_S5 << 10 | 0x2000);
	wr(d, 0, CNT, 4, 0x2000);
	wr(d, 0, CNT, 2, 1 << 10 | 0x2000); /* S1 */
	assert_int_equal(m->f.n_req, 4);
	assert_true(m->f.req[0].what == DEV_REQ_SLEEP && m->f.req[0].arg == 3);
	assert_true(m->f.req[1].what == DEV_REQ_SLEEP && m->f.req[1].arg == 4);
	assert_true(m->f.req[2].what == DEV_REQ_POWER_OFF);
	assert_true(m->f.req[3].what == DEV_REQ_POWER_OFF);
	assert_int_equal(rd(d, 0, CNT, 2), 1 << 10); /* SLP_EN reads 0 */
}

static void program(struct dev *d, uint8_t page, uint16_t addr, uint16_t count, uint8_t mode)
{
	wr(d, 0, 0xc, 1, 0);
	wr(d, 0, 4, 1, addr & 0xff);
	wr(d, 0, 4, 1, addr >> 8);
	wr(d, 0, 5, 1, count & 0xff);
	wr(d, 0, 5, 1, count >> 8);
	wr(d, 2, 0, 1, page); /* port 0x81: channel 2 */
	wr(d, 0, 0xb, 1, mode | 2);
	wr(d, 0, 0xa, 1, 2); /* unmask */
}

static void test_dma(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8237);
	uint8_t buf[64];
	bool tc;

	for (unsigned i = 0; i < 256; i++)
		m->f.ram[0x1000 + i] = (uint8_t)i;
	assert_int_equal(dm_dma_read(d, 2, buf, sizeof(buf), &tc), 0); /* masked */
	program(d, 0, 0x1000, 49, 0x48);
	assert_int_equal(dm_dma_read(d, 2, buf, 20, &tc), 20);
	assert_false(tc);
	wr(d, 0, 0xc, 1, 0);
	assert_int_equal(rd(d, 0, 4, 1) | rd(d, 0, 4, 1) << 8, 0x1000 + 20);
	assert_int_equal(rd(d, 0, 5, 1) | rd(d, 0, 5, 1) << 8, 29);
	save_and_load(d);
	assert_int_equal(dm_dma_write(d, 2, buf, 4, &tc), 0); /* the other way */
	assert_int_equal(dm_dma_read(d, 2, buf, sizeof(buf), &tc), 30);
	assert_true(tc && buf[0] == 20 && buf[29] == 49);
	assert_int_equal(rd(d, 0, 8, 1), 1 << 2);
	assert_int_equal(rd(d, 0, 8, 1), 0);
	assert_int_equal(rd(d, 0, 15, 1), 0xff); /* masked itself */
	program(d, 0, 0x2000, 3, 0x74);		 /* to memory, downwards, again and again */
	memcpy(buf, "abcdefgh", 8);
	assert_int_equal(dm_dma_write(d, 2, buf, 8, &tc), 4);
	assert_true(tc);
	assert_memory_equal(m->f.ram + 0x1ffd, "dcba", 4);
	assert_int_equal(dm_dma_write(d, 2, buf + 4, 4, &tc), 4);
	assert_memory_equal(m->f.ram + 0x1ffd, "hgfe", 4);
	program(d, 0x80, 0, 3, 0x48); /* no memory there */
	assert_int_equal(dm_dma_read(d, 2, buf, 4, &tc), 4);
	assert_int_equal(buf[3], 0xff);
	dm_dma_set_request(d, 5, true);
	assert_int_equal(rd(d, 1, 16, 1), 0x20);
}

static void test_dma_words(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8237);
	uint8_t buf[8];
	bool tc;

	memcpy(m->f.ram + 0x3000, "12345678", 8);
	wr(d, 1, 0x18, 1, 0);
	wr(d, 1, 4, 1, 0x00); /* channel 5: port 0xC4 */
	wr(d, 1, 4, 1, 0x18); /* words */
	wr(d, 1, 6, 1, 2);
	wr(d, 1, 6, 1, 0);
	wr(d, 2, 10, 1, 1); /* port 0x8B; its lowest bit means nothing to words */
	wr(d, 1, 0x16, 1, 0x49);
	wr(d, 1, 0x14, 1, 1);
	assert_int_equal(dm_dma_read(d, 5, buf, 7, &tc), 6);
	assert_true(tc);
	assert_memory_equal(buf, "123456", 6);
}

static void test_small_ports(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *p92 = make(m, &dm_port92);
	auto_dev struct dev *rst = make(m, &dm_reset_ctl);
	auto_dev struct dev *ex = make(m, &dm_debug_exit);
	auto_dev struct dev *post = make(m, &dm_post_port);
	auto_dev struct dev *con = make(m, &dm_debugcon);

	assert_int_equal(rd(p92, 0, 0, 1), 2);
	wr(p92, 0, 0, 1, 2);
	assert_int_equal(m->f.n_req, 0); /* as it was */
	wr(p92, 0, 0, 1, 0);
	wr(p92, 0, 0, 1, 3);
	wr(rst, 0, 0, 1, 2);
	wr(rst, 0, 0, 1, 6);
	wr(rst, 0, 0, 1, 6);
	wr(ex, 0, 0, 4, 0x1234);
	assert_int_equal(m->f.n_req, 5);
	assert_true(m->f.req[0].what == DEV_REQ_A20_OFF && m->f.req[1].what == DEV_REQ_A20_ON);
	assert_true(m->f.req[2].what == DEV_REQ_INIT_CPUS && m->f.req[3].what == DEV_REQ_RESET);
	assert_true(m->f.req[4].what == DEV_REQ_DEBUG_EXIT && m->f.req[4].arg == 0x34);
	wr(post, 0, 0, 1, 0xaa);
	assert_int_equal(rd(post, 0, 0, 1), 0xaa);
	assert_int_equal(rd(con, 0, 0, 1), 0xe9);
	wr(con, 0, 0, 1, 'a');
	m->f.chr.room = 0;
	wr(con, 1, 0, 1, 'b');
	save_and_load(con);
	fake_chr_make_room(&m->f, SIZE_MAX);
	assert_int_equal(m->f.chr.n_out, 2);
	assert_memory_equal(m->f.chr.out, "ab", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_pm_timer),  DEVICE_TEST(test_pm_events),
		DEVICE_TEST(test_pm_sleep),  DEVICE_TEST(test_dma),
		DEVICE_TEST(test_dma_words), DEVICE_TEST(test_small_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
