/*
 * 16550A serial port: FIFOs, interrupts with character timeout, modem lines, loopback, break.
 *
 * Specification: National PC16550D datasheet; the PC's wiring (OUT2 gates the interrupt).
 *
 * The other end is a program, not a wire, so nothing is lost on the way there: a byte goes out as
 * soon as the back-end takes it; what it does not take waits in a queue that is deeper than the
 * chip's, and THR stays full while the queue cannot take a FIFO's worth. Input is taken only while
 * somebody listens (RTS, receive interrupt, or polling), as if by hardware flow control, because
 * drivers empty the FIFO when they start.
 *
 * Not modelled: baud rate pacing (the divisor only times the character timeout); parity and framing
 * errors; DMA mode; the other end's modem lines (CTS, DSR, DCD are always on).
 */
#include "devmodel/chipset/ns16550.h"
#include "devmodel/chipset/chr.h"

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };
enum { IER_RX = 1, IER_TX = 2, IER_LINE = 4, IER_MODEM = 8, IER_ALL = 15 };
enum { IIR_NONE = 1, IIR_MODEM = 0, IIR_TX = 2, IIR_RX = 4, IIR_LINE = 6, IIR_TIMEOUT = 12 };
enum { IIR_FIFO = 0xc0, FCR_ON = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4, FCR_KEPT = 0xc9 };
enum { LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10, MCR_ALL = 0x1f };
enum { LSR_DR = 1, LSR_OE = 2, LSR_BI = 0x10, LSR_THRE = 0x20, LSR_TEMT = 0x40 };
enum { LSR_ERRORS = 0x1e };
enum { MSR_RI_DELTA = 4, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };
#define FIFO_BYTES 16u
#define TXQ_BYTES 4096u
#define NAME_MAX_BYTES 31
#define POLLS_LISTEN 256u /* reads of LSR in a row that count as waiting for input */
#define CLOCK_HZ 1843200u
#define MAX_TIMEOUT_NS 10000000u

STATE_LAYOUT_BEGIN
struct ns16550_state {
	uint64_t timeout_ns; /* when the character timeout is due, or DEV_TIMER_OFF */
	uint32_t tx_len, rx_len;
	uint16_t divisor, polls;
	uint8_t ier, fcr, lcr, mcr, msr, scr;
	uint8_t lsr;		    /* error bits only; the others are computed */
	bool tx_pending, timed_out; /* interrupts */
	uint8_t pad_[3];
	uint8_t rx[FIFO_BYTES];
	uint8_t tx[TXQ_BYTES];
};
STATE_LAYOUT_END

struct ns16550 {
	struct dev dev;
	struct ns16550_state s;
	struct chr *out; /* borrowed */
	char chr[NAME_MAX_BYTES + 1];
	bool refused; /* the back-end holds input that was not taken */
};

static struct ns16550 *ns16550_from_dev(struct dev *d)
{
	assert(d->cls == &dm_ns16550);
	return (struct ns16550 *)d;
}

static bool fifo_on(const struct ns16550 *u)
{
	return u->s.fcr & FCR_ON;
}

static bool thr_empty(const struct ns16550 *u)
{
	return u->s.tx_len + FIFO_BYTES <= TXQ_BYTES;
}

static uint8_t lsr(const struct ns16550 *u)
{
	return (uint8_t)(u->s.lsr | (u->s.rx_len > 0 ? LSR_DR : 0) | (thr_empty(u) ? LSR_THRE : 0) |
			 (u->s.tx_len == 0 ? LSR_TEMT : 0));
}

static unsigned trigger(const struct ns16550 *u)
{
	static const uint8_t bytes[4] = { 1, 4, 8, 14 };

	return fifo_on(u) ? bytes[u->s.fcr >> 6] : 1;
}

/* The interrupt that IIR shows. */
static uint8_t cause(const struct ns16550 *u)
{
	if ((u->s.ier & IER_LINE) && (u->s.lsr & LSR_ERRORS))
		return IIR_LINE;
	if ((u->s.ier & IER_RX) && u->s.rx_len >= trigger(u))
		return IIR_RX;
	if ((u->s.ier & IER_RX) && u->s.timed_out && u->s.rx_len > 0)
		return IIR_TIMEOUT;
	if ((u->s.ier & IER_TX) && u->s.tx_pending)
		return IIR_TX;
	if ((u->s.ier & IER_MODEM) && (u->s.msr & 0xf))
		return IIR_MODEM;
	return IIR_NONE;
}

static void follow(struct ns16550 *u)
{
	const bool wired = (u->s.mcr & MCR_OUT2) && !(u->s.mcr & MCR_LOOP);

	dev_irq_set(&u->dev, 0, wired && cause(u) != IIR_NONE);
}

/* ---- receiving ---- */

static uint64_t four_characters_ns(const struct ns16550 *u)
{
	const uint8_t lcr = u->s.lcr;
	const uint64_t bits = 7u + (lcr & 3) + (lcr >> 2 & 1) + (lcr >> 3 & 1);
	const uint64_t divisor = u->s.divisor != 0 ? u->s.divisor : 1;

	return hv_min_u64(4 * bits * 16 * divisor * HV_NS_PER_SEC / CLOCK_HZ, MAX_TIMEOUT_NS);
}

/* The timeout counts from the last byte that came or went. */
static void restart_timeout(struct ns16550 *u)
{
	const bool counts = fifo_on(u) && u->s.rx_len > 0;

	u->s.timed_out = false;
	u->s.timeout_ns = counts ? dev_now_ns(&u->dev) + four_characters_ns(u) : DEV_TIMER_OFF;
	dev_timer_arm(&u->dev, 0, u->s.timeout_ns);
}

static unsigned room(const struct ns16550 *u)
{
	const unsigned depth = fifo_on(u) ? FIFO_BYTES : 1;

	return u->s.rx_len < depth ? depth - u->s.rx_len : 0;
}

static bool listens(const struct ns16550 *u)
{
	if (u->s.mcr & MCR_LOOP)
		return false;
	return (u->s.mcr & MCR_RTS) || (u->s.ier & IER_RX) || u->s.polls >= POLLS_LISTEN;
}

static void put(struct ns16550 *u, const uint8_t *buf, size_t len)
{
	memcpy(u->s.rx + u->s.rx_len, buf, len);
	u->s.rx_len += (uint32_t)len;
	restart_timeout(u);
}

static size_t receive(void *ctx, const uint8_t *buf, size_t len)
{
	struct ns16550 *u = ctx;
	size_t n = listens(u) ? room(u) : 0;

	n = n < len ? n : len;
	u->refused |= n < len;
	if (n > 0) {
		put(u, buf, n);
		follow(u);
	}
	return n;
}

/* Room was made, or somebody began to listen: the back-end may try again. */
static void ask_for_more(struct ns16550 *u)
{
	if (!u->refused || !listens(u) || room(u) == 0)
		return;
	u->refused = false;
	if (u->out->ops->accept_input != NULL)
		u->out->ops->accept_input(u->out);
}

static uint8_t read_data(struct ns16550 *u)
{
	const uint8_t v = u->s.rx[0];

	if (u->s.rx_len == 0)
		return 0;
	memmove(u->s.rx, u->s.rx + 1, --u->s.rx_len);
	u->s.rx[u->s.rx_len] = 0;
	restart_timeout(u);
	ask_for_more(u);
	return v;
}

static void clear_rx(struct ns16550 *u)
{
	memset(u->s.rx, 0, sizeof(u->s.rx));
	u->s.rx_len = 0;
	restart_timeout(u);
}

/* ---- sending ---- */

static void drain(struct ns16550 *u)
{
	const bool was_empty = thr_empty(u);
	size_t n;

	if (u->s.tx_len == 0)
		return;
	n = u->out->ops->write(u->out, u->s.tx, u->s.tx_len);
	assert(n <= u->s.tx_len);
	u->s.tx_len -= (uint32_t)n;
	memmove(u->s.tx, u->s.tx + n, u->s.tx_len);
	memset(u->s.tx + u->s.tx_len, 0, n); /* saved bytes are those that wait, and no others */
	if (!was_empty && thr_empty(u))
		u->s.tx_pending = true;
}

static void can_write(void *ctx)
{
	struct ns16550 *u = ctx;

	drain(u);
	follow(u);
}

static void send(struct ns16550 *u, uint8_t v)
{
	if (u->s.tx_len == 0 && u->out->ops->write(u->out, &v, 1) == 1)
		return;
	if (u->s.tx_len == TXQ_BYTES) /* written although THR was full: as lost as on the chip */
		u->s.tx_len--;
	u->s.tx[u->s.tx_len++] = v;
	drain(u);
}

static void write_data(struct ns16550 *u, uint8_t v)
{
	u->s.tx_pending = false;
	follow(u); /* the line drops, so that the next request is an edge */
	if (!(u->s.mcr & MCR_LOOP)) {
		send(u, v);
	} else if (room(u) > 0) {
		put(u, &v, 1);
	} else {
		u->s.lsr |= LSR_OE;
	}
	if (thr_empty(u))
		u->s.tx_pending = true;
}

/* ---- registers ---- */

static void write_ier(struct ns16550 *u, uint8_t v)
{
	if ((v & ~u->s.ier & IER_TX) && thr_empty(u))
		u->s.tx_pending = true; /* drivers test for it */
	u->s.ier = v & IER_ALL;
}

static void write_fcr(struct ns16550 *u, uint8_t v)
{
	const bool toggles = (v ^ u->s.fcr) & FCR_ON;

	u->s.fcr = v & FCR_ON ? v & FCR_KEPT : 0;
	if (toggles || ((v & FCR_ON) && (v & FCR_CLEAR_RX)))
		clear_rx(u);
	if (toggles || ((v & FCR_ON) && (v & FCR_CLEAR_TX)))
		u->s.tx_pending = thr_empty(u); /* what waits had left a real chip long ago */
}

/* Modem lines as they are now; a change leaves its mark in the low half. */
static void update_msr(struct ns16550 *u)
{
	const uint8_t mcr = u->s.mcr, was = u->s.msr;
	uint8_t now = MSR_CTS | MSR_DSR | MSR_DCD, delta;

	if (mcr & MCR_LOOP)
		now = (uint8_t)((mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) |
				(mcr & MCR_OUT1 ? MSR_RI : 0) | (mcr & MCR_OUT2 ? MSR_DCD : 0));
	delta = (uint8_t)((was ^ now) >> 4);
	if (!(was & MSR_RI)) /* only its end counts */
		delta &= (uint8_t)~MSR_RI_DELTA;
	u->s.msr = (uint8_t)(now | (was & 0xf) | (delta & 0xf));
}

static uint8_t read_iir(struct ns16550 *u)
{
	const uint8_t c = cause(u);

	if (c == IIR_TX)
		u->s.tx_pending = false;
	return (uint8_t)(c | (fifo_on(u) ? IIR_FIFO : 0));
}

static uint8_t read_lsr(struct ns16550 *u)
{
	const uint8_t v = lsr(u);

	u->s.lsr = 0;
	if (u->s.polls < POLLS_LISTEN && ++u->s.polls == POLLS_LISTEN)
		ask_for_more(u);
	return v;
}

static uint64_t ns16550_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct ns16550 *u = ns16550_from_dev(d);
	const bool dlab = u->s.lcr & LCR_DLAB;
	uint8_t v = 0;

	(void)region, (void)size;
	switch (off) {
	case REG_DATA:
		v = dlab ? (uint8_t)u->s.divisor : read_data(u);
		break;
	case REG_IER:
		v = dlab ? (uint8_t)(u->s.divisor >> 8) : u->s.ier;
		break;
	case REG_IIR_FCR:
		v = read_iir(u);
		break;
	case REG_LCR:
		return u->s.lcr;
	case REG_MCR:
		return u->s.mcr;
	case REG_LSR:
		v = read_lsr(u);
		break;
	case REG_MSR:
		v = u->s.msr;
		u->s.msr &= 0xf0;
		break;
	default:
		return u->s.scr;
	}
	follow(u);
	return v;
}

static void ns16550_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct ns16550 *u = ns16550_from_dev(d);
	const bool dlab = u->s.lcr & LCR_DLAB;
	const uint8_t byte = (uint8_t)v;

	(void)region, (void)size;
	if (off != REG_SCR)
		u->s.polls = 0;
	if (off == REG_DATA && dlab)
		u->s.divisor = (uint16_t)((u->s.divisor & 0xff00) | byte);
	else if (off == REG_DATA)
		write_data(u, byte);
	else if (off == REG_IER && dlab)
		u->s.divisor = (uint16_t)((u->s.divisor & 0xff) | byte << 8);
	else if (off == REG_IER)
		write_ier(u, byte);
	else if (off == REG_IIR_FCR)
		write_fcr(u, byte);
	else if (off == REG_LCR)
		u->s.lcr = byte;
	else if (off == REG_MCR)
		u->s.mcr = byte & MCR_ALL;
	else if (off == REG_SCR)
		u->s.scr = byte;
	if (off == REG_MCR)
		update_msr(u);
	if (off == REG_LCR && (byte & LCR_BREAK) && (u->s.mcr & MCR_LOOP))
		u->s.lsr |= LSR_BI;
	ask_for_more(u);
	follow(u);
}

static void ns16550_timer(struct dev *d, unsigned timer)
{
	struct ns16550 *u = ns16550_from_dev(d);

	(void)timer; /* there is one */
	if (dev_now_ns(d) < u->s.timeout_ns)
		return; /* was under way while more came */
	u->s.timeout_ns = DEV_TIMER_OFF;
	u->s.timed_out = true;
	follow(u);
}

/* ---- the device ---- */

static int ns16550_realize(struct dev *d, struct err *e)
{
	struct ns16550 *u = ns16550_from_dev(d);

	u->out = dev_backend(d, DEV_BACKEND_CHR, u->chr, e);
	if (u->out == NULL)
		return -ENOENT;
	u->out->peer = (struct chr_peer){ .receive = receive, .can_write = can_write, .ctx = u };
	return 0;
}

static void ns16550_unrealize(struct dev *d)
{
	struct ns16550 *u = ns16550_from_dev(d);

	if (u->out != NULL)
		u->out->peer = (struct chr_peer){ 0 };
}

static void ns16550_state_init(void *obj)
{
	struct ns16550_state *s = obj;

	memset(s, 0, sizeof(*s));
	s->timeout_ns = DEV_TIMER_OFF;
	s->divisor = 12;
	s->msr = MSR_CTS | MSR_DSR | MSR_DCD;
}

static int ns16550_post_load(void *obj, struct err *e)
{
	const struct ns16550_state *s = obj;

	if (s->rx_len > FIFO_BYTES || s->tx_len > TXQ_BYTES)
		return err_set(e, -EINVAL, "ns16550: more bytes than the FIFOs hold");
	if ((s->ier & ~IER_ALL) || (s->mcr & ~MCR_ALL) || (s->fcr & ~FCR_KEPT) ||
	    (s->lsr & ~LSR_ERRORS) || (!(s->fcr & FCR_ON) && s->rx_len > 1))
		return err_set(e, -EINVAL, "ns16550: impossible registers");
	return 0;
}

/* What the guest wrote before is on its way already: a reset does not take it back. */
static void ns16550_reset(struct dev *d)
{
	struct ns16550 *u = ns16550_from_dev(d);

	drain(u);
	ns16550_state_init(&u->s);
	u->refused = true; /* whatever waits is asked for when somebody listens */
	dev_timer_arm(d, 0, DEV_TIMER_OFF);
	follow(u);
}

static void ns16550_resume(struct dev *d)
{
	struct ns16550 *u = ns16550_from_dev(d);

	dev_timer_arm(d, 0, u->s.timeout_ns);
	u->refused = true;
	drain(u);
	ask_for_more(u);
	follow(u);
}

static const struct state_desc ns16550_state = {
	.name = "ns16550",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ns16550_state),
	.init = ns16550_state_init,
	.post_load = ns16550_post_load,
	.fields =
		(const struct state_field[]){
			STATE(struct ns16550_state, timeout_ns),
			STATE(struct ns16550_state, tx_len), STATE(struct ns16550_state, rx_len),
			STATE(struct ns16550_state, divisor), STATE(struct ns16550_state, polls),
			STATE(struct ns16550_state, ier), STATE(struct ns16550_state, fcr),
			STATE(struct ns16550_state, lcr), STATE(struct ns16550_state, mcr),
			STATE(struct ns16550_state, msr), STATE(struct ns16550_state, scr),
			STATE(struct ns16550_state, lsr), STATE(struct ns16550_state, tx_pending),
			STATE(struct ns16550_state, timed_out),
			STATE_PAD(struct ns16550_state, pad_),
			STATE_ARRAY(struct ns16550_state, rx),
			STATE_ARRAY(struct ns16550_state, tx), STATE_END },
};

static const struct opt ns16550_opts[] = { OPT(struct ns16550, chr, 1, NAME_MAX_BYTES, "serial0",
					       "byte stream it is plugged into"),
					   OPT_END };

const struct dev_class dm_ns16550 = {
	.name = "ns16550",
	.summary = "16550A serial port",
	.size = sizeof(struct ns16550),
	.opts = ns16550_opts,
	.state = &ns16550_state,
	.state_off = offsetof(struct ns16550, s),
	.regions = { { "regs", 8, 1, 1 } },
	.irqs = { "irq" },
	.n_timers = 1,
	.realize = ns16550_realize,
	.unrealize = ns16550_unrealize,
	.reset = ns16550_reset,
	.read = ns16550_read,
	.write = ns16550_write,
	.timer = ns16550_timer,
	.resume = ns16550_resume,
};
