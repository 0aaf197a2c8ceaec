/*
 * The engine of ATA and ATAPI drives: the life of a command's data between medium, buffer, host and
 * guest memory; see ata.h. What the commands are: disk.c and cd.c.
 *
 * A transfer of any length goes in bounded pieces, one request at a time a command: straight
 * between image and guest memory where the guest's list is whole blocks of RAM, else by the buffer.
 */
#include "devmodel/storage/ctrl/ata/ata.h"
#include <stdio.h>
#include "devmodel/storage/ctrl/ata/ata_int.h"

#define MAX_CHUNK (4u << 20)

static void advance(struct ata_cmd *c);

static struct dev *dev_of(const struct ata_cmd *c)
{
	return c->drive->host->dev;
}

static uint32_t block_of(const struct ata_cmd *c)
{
	return c->drive->kind == ATA_CD ? CD_BLOCK : ATA_SECTOR;
}

/* ---- requests ---- */

/* Any thread: pushed onto a list without a lock, taken whole by the device. */
static void io_done(struct blk_req *io, int result)
{
	struct ata_cmd *c = io->ctx;
	struct ata_host *h = c->drive->host;

	c->result = result;
	atomic_store_explicit(&c->away, false, memory_order_relaxed);
	c->next = atomic_load_explicit(&h->done, memory_order_relaxed);
	/* Pairs with the exchange in ata_take_done(): what the request holds is visible there. */
	while (!atomic_compare_exchange_weak_explicit(&h->done, &c->next, c, memory_order_release,
						      memory_order_relaxed))
		;
	dev_post(&h->work);
}

/* io's iov are filled in where there are data. The phase is WORKING until it comes back. */
static void submit(struct ata_cmd *c, enum blk_op op, uint64_t offset, uint64_t bytes)
{
	struct blk *b = c->drive->blk;

	c->io.op = op;
	c->io.offset = offset;
	c->io.bytes = bytes;
	c->s->phase = ATA_WORKING;
	c->io_busy = true;
	c->on = b;
	atomic_store_explicit(&c->away, true, memory_order_relaxed);
	c->drive->host->n_busy++;
	b->ops->submit(b, &c->io);
}

static void tell_written(struct ata_cmd *c)
{
	for (unsigned i = 0; i < c->io.n_iov; i++)
		dev_dma_written(dev_of(c), c->gpa[i], c->io.iov[i].iov_len);
}

/* ---- the end of a command ---- */

/* Nothing is left of its transfer: what an idle command's state says is the same in all of them. */
static void forget_transfer(struct ata_cmd_state *s)
{
	s->phase = ATA_IDLE;
	s->len = s->at = s->stop = 0;
	s->left = 0;
	s->packet = 0;
}

static void finish(struct ata_cmd *c)
{
	forget_transfer(c->s);
	c->drive->host->ops->done(c);
}

void ata_ok(struct ata_cmd *c)
{
	c->s->status = ATA_DRDY | ATA_DSC;
	c->s->error = 0;
	if (c->drive->kind == ATA_CD && c->s->command == ATA_CMD_PACKET)
		c->s->count = ATA_REASON_TO_HOST | ATA_REASON_CDB;
	finish(c);
}

void ata_fail(struct ata_cmd *c, uint8_t error)
{
	c->s->status = ATA_DRDY | ATA_DSC | ATA_ERR;
	c->s->error = error;
	finish(c);
}

static void io_failed(struct ata_cmd *c, int result)
{
	if (c->drive->kind == ATA_CD)
		ata_cd_io_failed(c, result);
	else
		ata_disk_io_failed(c, result);
}

/* ---- data ---- */

static void wait_host(struct ata_cmd *c, enum ata_phase phase)
{
	struct ata_cmd_state *s = c->s;

	s->phase = (uint8_t)phase;
	s->stop = (uint32_t)hv_min_u64(s->len, (uint64_t)s->at + s->unit);
	if (s->command == ATA_CMD_PACKET) { /* what the bytes are, and how many */
		s->count = s->packet		  ? ATA_REASON_CDB
			   : phase == ATA_DATA_IN ? ATA_REASON_TO_HOST
						  : 0;
		if (!s->packet) /* the host's limit is still wanted before that */
			s->lba = (s->lba & ~0xffff00ull) | (s->stop - s->at) << 8;
	}
	c->drive->host->ops->data(c);
	s->began = 1;
}

/* Whether the data can go by c->sg now; else the command waits for the controller, or has ended. */
static bool sg_ready(struct ata_cmd *c)
{
	if (c->has_sg && c->drive->host->ops->may_dma(c))
		return true;
	c->s->phase = ATA_DMA_WAIT;
	if (c->has_sg) {
		c->has_sg = false;
		c->drive->host->ops->sg_short(c);
	} else {
		c->drive->host->ops->data(c);
	}
	return false;
}

/* Copies buf[at .. len) to or from guest memory. False: that is all for now. */
static bool copy_sg(struct ata_cmd *c, bool to_guest)
{
	struct ata_cmd_state *s = c->s;
	size_t n;

	if (!sg_ready(c))
		return false;
	n = ata_sg_copy(dev_of(c), &c->sg, c->buf + s->at, s->len - s->at, to_guest);
	s->at += (uint32_t)n;
	c->moved += n;
	if (s->at == s->len)
		return true;
	c->has_sg = false;
	s->phase = ATA_DMA_WAIT;
	c->drive->host->ops->sg_short(c);
	return false;
}

/* One block at least of [pos, pos + left) is on the medium, and it is still the same medium. */
static bool on_medium(struct ata_cmd *c)
{
	const struct blk *b = c->drive->blk;
	const uint64_t bytes = b != NULL ? hv_align_up(b->bytes, block_of(c)) : 0;

	if (c->s->gone || b == NULL || c->s->pos >= b->bytes || c->s->left > bytes - c->s->pos) {
		io_failed(c, -ENXIO);
		return false;
	}
	return true;
}

static bool try_direct(struct ata_cmd *c, enum blk_op op)
{
	const uint64_t whole = c->drive->blk->bytes / block_of(c) * block_of(c);
	uint64_t n;

	if (!c->has_sg || c->s->raw || c->s->pos >= whole)
		return false;
	n = hv_min_u64(hv_min_u64(c->s->left, whole - c->s->pos), MAX_CHUNK);
	n = ata_sg_iov(dev_of(c), &c->sg, &c->io, c->gpa, n, block_of(c), op == BLK_READ);
	if (n == 0)
		return false;
	c->direct = true;
	submit(c, op, c->s->pos, n);
	return true;
}

/* Bytes of the medium that the buffer holds in the form in which the host wants them. */
static uint32_t buffer_room(const struct ata_cmd *c)
{
	if (c->s->raw)
		return ATA_BUF_BYTES / CD_RAW_BLOCK * CD_BLOCK;
	if (c->s->dma || c->has_sg || c->drive->kind == ATA_CD)
		return ATA_BUF_BYTES;
	/* A saved state may have a unit that only a CD drive's pieces can be as long as. */
	return (uint32_t)hv_min_u64(c->s->unit, ATA_BUF_BYTES);
}

static void use_buffer(struct ata_cmd *c, enum blk_op op, uint32_t n)
{
	/* A CD image may end within a block: the rest of that reads as zeroes. */
	const uint32_t there = (uint32_t)hv_min_u64(n, c->drive->blk->bytes - c->s->pos);

	if (op == BLK_READ)
		memset(c->buf + there, 0, n - there);
	c->direct = false;
	c->io.iov[0] = (struct iovec){ c->buf, there };
	c->io.n_iov = 1;
	c->s->len = n;
	submit(c, op, c->s->pos, there);
}

static void advance_in(struct ata_cmd *c)
{
	struct ata_cmd_state *s = c->s;

	if (s->at < s->len) {
		if (!s->dma && !c->has_sg) {
			wait_host(c, ATA_DATA_IN);
			return;
		}
		if (!copy_sg(c, true))
			return;
	}
	if (s->left == 0) {
		ata_ok(c);
		return;
	}
	s->at = s->len = s->stop = 0;
	if ((s->dma && !sg_ready(c)) || !on_medium(c) || try_direct(c, BLK_READ))
		return;
	use_buffer(c, BLK_READ, (uint32_t)hv_min_u64(s->left, buffer_room(c)));
}

static void received(struct ata_cmd *c)
{
	if (c->s->packet) {
		c->s->packet = 0;
		c->s->dir = ATA_DIR_NONE;
		c->s->len = c->s->at = c->s->stop = 0;
		memcpy(c->s->cdb, c->buf, ATA_CDB_BYTES);
		ata_cd_packet(c);
	} else if (c->drive->kind == ATA_CD) {
		ata_cd_received(c);
	} else {
		ata_disk_received(c);
	}
}

static void advance_out(struct ata_cmd *c)
{
	struct ata_cmd_state *s = c->s;

	if (s->medium && (c->drive->kind == ATA_CD || c->drive->blk->read_only)) {
		io_failed(c, -EROFS); /* only a saved state can ask for that */
		return;
	}
	if (s->medium && s->len == 0) { /* between two blocks */
		if (s->left == 0) {
			if (s->flush)
				ata_work(c, BLK_FLUSH, 0, 0);
			else
				ata_ok(c);
			return;
		}
		if ((s->dma && !sg_ready(c)) || !on_medium(c) || try_direct(c, BLK_WRITE))
			return;
		s->len = (uint32_t)hv_min_u64(s->left, buffer_room(c));
		s->at = s->stop = 0;
	}
	if (s->at < s->len) {
		if (!s->dma && !c->has_sg) {
			wait_host(c, ATA_DATA_OUT);
			return;
		}
		if (!copy_sg(c, false))
			return;
	}
	if (!s->medium)
		received(c);
	else if (on_medium(c))
		use_buffer(c, BLK_WRITE, s->len);
}

static void advance(struct ata_cmd *c)
{
	if (c->s->dir == ATA_DIR_IN)
		advance_in(c);
	else
		advance_out(c);
}

void ata_reply(struct ata_cmd *c, uint32_t len)
{
	c->s->dir = ATA_DIR_IN;
	c->s->at = 0;
	c->s->len = len;
	advance(c);
}

void ata_want(struct ata_cmd *c, uint32_t len)
{
	c->s->dir = ATA_DIR_OUT;
	c->s->at = 0;
	c->s->len = len;
	advance(c);
}

void ata_read(struct ata_cmd *c, uint64_t pos, uint64_t bytes)
{
	c->s->dir = ATA_DIR_IN;
	c->s->medium = 1;
	c->s->pos = pos;
	c->s->left = bytes;
	advance(c);
}

void ata_write(struct ata_cmd *c, uint64_t pos, uint64_t bytes)
{
	c->s->dir = ATA_DIR_OUT;
	c->s->medium = 1;
	c->s->pos = pos;
	c->s->left = bytes;
	advance(c);
}

void ata_work(struct ata_cmd *c, enum blk_op op, uint64_t offset, uint64_t bytes)
{
	c->io.n_iov = 0;
	submit(c, op, offset, bytes);
}

/* ---- requests come back ---- */

static void moved_medium(struct ata_cmd *c)
{
	struct ata_cmd_state *s = c->s;
	/* By the buffer: what was asked for, which the image may not hold whole. */
	const uint64_t n = c->direct ? c->io.bytes : s->len;

	s->pos += n;
	s->left -= n;
	if (c->direct) {
		c->moved += n;
		s->len = 0;
	} else if (c->io.op == BLK_WRITE) {
		s->len = 0;
	} else if (s->raw) {
		cd_make_raw(c->buf, s->len / CD_BLOCK, (uint32_t)((s->pos - n) / CD_BLOCK), s->raw);
		s->len = s->len / CD_BLOCK * cd_raw_bytes(s->raw);
	}
	s->at = 0;
}

static void come_back(struct ata_cmd *c)
{
	c->io_busy = false;
	c->drive->host->n_busy--;
	if (c->io.op == BLK_READ && c->direct)
		tell_written(c);
	if (c->stale) {
		c->stale = false;
		c->drive->host->ops->released(c);
		return;
	}
	if (c->result < 0) {
		io_failed(c, c->result);
	} else if (c->io.op == BLK_READ || c->io.op == BLK_WRITE) {
		moved_medium(c);
		advance(c);
	} else {
		ata_disk_worked(c);
	}
}

void ata_take_done(struct ata_host *h)
{
	struct ata_cmd *c = atomic_exchange_explicit(&h->done, NULL, memory_order_acquire);
	struct ata_cmd *in_order = NULL;

	while (c != NULL) { /* the last that ended is the list's first */
		struct ata_cmd *next = c->next;
		c->next = in_order;
		in_order = c;
		c = next;
	}
	while (in_order != NULL) {
		struct ata_cmd *next = in_order->next;
		come_back(in_order);
		in_order = next;
	}
}

/* One that has come back may have been on a medium that is gone since. */
int ata_cmd_settle(struct ata_cmd *c)
{
	if (c->io_busy && atomic_load_explicit(&c->away, memory_order_relaxed))
		return blk_settle(c->on);
	return 0;
}

/* A request that has come back is told of by a thread that may not be through with that. Other
 * media than the present one were drained when they were taken out. */
void ata_drive_drain(struct ata_drive *a)
{
	if (a->blk != NULL)
		a->blk->ops->drain(a->blk);
}

/* ---- for controllers ---- */

void ata_start(struct ata_cmd *c, bool have_cdb)
{
	struct ata_cmd_state *s = c->s;

	assert(!c->io_busy); /* the controller waits for released() */
	s->pos = s->left = 0;
	s->len = s->at = s->stop = 0;
	s->unit = ATA_SECTOR;
	s->dir = ATA_DIR_NONE;
	s->medium = s->dma = s->raw = s->packet = s->began = s->gone = s->flush = 0;
	s->phase = ATA_WORKING;
	c->moved = 0;
	if (c->drive->kind == ATA_CD)
		ata_cd_start(c, have_cdb);
	else
		ata_disk_start(c);
}

void ata_pio_end(struct ata_cmd *c)
{
	struct ata_cmd_state *s = c->s;

	s->phase = ATA_WORKING;
	/* A CD drive tells of each piece; what is left of the buffer is the next one. */
	advance(c);
}

void ata_dma(struct ata_cmd *c)
{
	c->s->phase = ATA_WORKING;
	advance(c);
}

void ata_abort(struct ata_cmd *c)
{
	forget_transfer(c->s);
	c->has_sg = false;
	c->stale = c->io_busy;
}

void ata_cmd_init(struct ata_cmd *c, struct ata_drive *a, struct ata_cmd_state *s, uint8_t *buf,
		  unsigned slot)
{
	c->drive = a;
	c->s = s;
	c->buf = buf;
	c->slot = slot;
	c->io.done = io_done;
	c->io.ctx = c;
}

/* What no drive can have: the medium's size is looked at when it matters. */
int ata_cmd_post_load(const struct ata_cmd_state *s, struct err *e)
{
	const bool waits = s->phase == ATA_DATA_IN || s->phase == ATA_DATA_OUT;

	if (s->phase == ATA_WORKING || s->phase > ATA_DMA_WAIT || s->dir > ATA_DIR_OUT ||
	    (s->phase != ATA_IDLE && s->dir == ATA_DIR_NONE) || s->medium > 1 || s->dma > 1 ||
	    s->packet > 1 || s->began > 1 || s->gone > 1 || s->flush > 1)
		return err_set(e, -EINVAL, "a drive's command cannot be so");
	if (s->len > ATA_BUF_BYTES || s->at > s->len || s->stop > s->len ||
	    (waits && (s->at >= s->stop || s->unit == 0 || s->dma)) || s->unit > 0x10000 ||
	    (s->phase == ATA_DMA_WAIT && !s->dma) ||
	    (s->phase == ATA_DATA_IN && s->dir != ATA_DIR_IN) ||
	    (s->phase == ATA_DATA_OUT && s->dir != ATA_DIR_OUT))
		return err_set(e, -EINVAL, "a drive's buffer cannot be so");
	if (s->left % ATA_SECTOR != 0 || s->pos % ATA_SECTOR != 0 || s->left > UINT32_MAX ||
	    s->pos > UINT64_MAX / 2 || (s->packet && s->len != ATA_CDB_BYTES) ||
	    (s->raw & ~(CD_SYNC | CD_HEADER | CD_DATA | CD_EDC)) ||
	    (s->medium && s->dir == ATA_DIR_OUT && s->len > s->left) || s->lba >> 48 != 0)
		return err_set(e, -EINVAL, "a drive's transfer cannot be so");
	return 0;
}

/* ---- drives ---- */

int ata_drive_attach(struct ata_drive *a, struct ata_host *h, const char *what, struct err *e)
{
	char kind[8], name[24];

	a->host = h;
	if (what[0] == '\0')
		return 0;
	if (sscanf(what, "%7s %23s", kind, name) != 2 ||
	    (strcmp(kind, "disk") != 0 && strcmp(kind, "cdrom") != 0))
		return err_set(e, -EINVAL, "%s: a drive is 'disk NAME' or 'cdrom NAME', not '%s'",
			       h->dev->id, what);
	a->kind = kind[0] == 'd' ? ATA_DISK : ATA_CD;
	a->blk = dev_backend(h->dev, DEV_BACKEND_BLK, name, e);
	return a->blk == NULL && a->kind == ATA_DISK ? -ENOENT : 0;
}

void ata_drive_state_init(struct ata_drive_state *s)
{
	*s = (struct ata_drive_state){ .write_cache = 1,
				       .look_ahead = 1,
				       .smart = 1,
				       .power = ATA_POWER_ACTIVE,
				       .attention = ATA_UA_POWER_ON,
				       .heads = 16,
				       .sectors = 63,
				       .retries = 3 };
}

void ata_drive_power_on(struct ata_drive *a)
{
	ata_drive_state_init(a->s);
	if (a->kind == ATA_DISK)
		ata_disk_geometry(a, &a->s->cylinders, &a->s->heads, &a->s->sectors);
}

int ata_drive_post_load(const struct ata_drive_state *s, struct err *e)
{
	if (s->heads == 0 || s->heads > 16 || s->sectors == 0 || s->multiple > ATA_MULTIPLE_MAX ||
	    s->write_cache > 1 || s->look_ahead > 1 || s->smart > 1 || s->ncq_failed > 1 ||
	    s->ncq_tag > 31 || s->ncq_lba >> 48 != 0 || s->attention > ATA_UA_CHANGED ||
	    s->tray_open > 1 || s->locked > 1 || s->event > ATA_EVENT_REMOVED || s->key > 15)
		return err_set(e, -EINVAL, "a drive cannot be so");
	return 0;
}

void ata_signature(const struct ata_drive *a, struct ata_cmd_state *s)
{
	s->count = 1;
	s->lba = a->kind == ATA_CD ? 0xeb1401 : 1;
	s->device = 0;
	s->error = 1; /* passed */
	s->status = a->kind == ATA_CD ? 0 : ATA_DRDY | ATA_DSC;
}

bool ata_media_out(const struct ata_drive *a)
{
	return a->s->tray_open && a->blk != NULL;
}

void ata_media_asked(struct ata_drive *a)
{
	a->s->event = ATA_EVENT_EJECT_REQUEST;
}

void ata_media_gone(struct ata_cmd *c)
{
	c->s->gone |= c->s->phase != ATA_IDLE && c->s->medium;
}

void ata_media_change(struct ata_drive *a, struct blk *medium)
{
	a->blk = medium;
	a->s->locked = 0;
	if (medium != NULL) {
		a->s->event = ATA_EVENT_NEW;
		a->s->attention = ATA_UA_CHANGED;
	} else if (!a->s->tray_open) { /* else it knows */
		a->s->event = ATA_EVENT_REMOVED;
	}
	a->s->tray_open = medium == NULL;
}

const struct state_desc ata_cmd_state_desc = {
	.name = "ata_cmd",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ata_cmd_state),
	.fields = (const struct state_field[]){ STATE(struct ata_cmd_state, lba),
						STATE(struct ata_cmd_state, pos),
						STATE(struct ata_cmd_state, left),
						STATE(struct ata_cmd_state, len),
						STATE(struct ata_cmd_state, at),
						STATE(struct ata_cmd_state, stop),
						STATE(struct ata_cmd_state, unit),
						STATE(struct ata_cmd_state, feature),
						STATE(struct ata_cmd_state, count),
						STATE(struct ata_cmd_state, device),
						STATE(struct ata_cmd_state, command),
						STATE(struct ata_cmd_state, status),
						STATE(struct ata_cmd_state, error),
						STATE(struct ata_cmd_state, phase),
						STATE(struct ata_cmd_state, dir),
						STATE(struct ata_cmd_state, medium),
						STATE(struct ata_cmd_state, dma),
						STATE(struct ata_cmd_state, raw),
						STATE(struct ata_cmd_state, packet),
						STATE(struct ata_cmd_state, began),
						STATE(struct ata_cmd_state, gone),
						STATE(struct ata_cmd_state, flush),
						STATE_PAD(struct ata_cmd_state, pad_),
						STATE_ARRAY(struct ata_cmd_state, cdb),
						STATE_END },
};

const struct state_desc ata_drive_state_desc = {
	.name = "ata_drive",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ata_drive_state),
	.fields = (const struct state_field[]){ STATE(struct ata_drive_state, ncq_lba),
						STATE(struct ata_drive_state, ncq_count),
						STATE(struct ata_drive_state, ncq_failed),
						STATE(struct ata_drive_state, ncq_tag),
						STATE(struct ata_drive_state, ncq_status),
						STATE(struct ata_drive_state, ncq_error),
						STATE(struct ata_drive_state, ncq_device),
						STATE(struct ata_drive_state, heads),
						STATE(struct ata_drive_state, sectors),
						STATE(struct ata_drive_state, multiple),
						STATE(struct ata_drive_state, cylinders),
						STATE(struct ata_drive_state, xfer),
						STATE(struct ata_drive_state, write_cache),
						STATE(struct ata_drive_state, look_ahead),
						STATE(struct ata_drive_state, smart),
						STATE(struct ata_drive_state, power),
						STATE(struct ata_drive_state, key),
						STATE(struct ata_drive_state, asc),
						STATE(struct ata_drive_state, ascq),
						STATE(struct ata_drive_state, attention),
						STATE(struct ata_drive_state, tray_open),
						STATE(struct ata_drive_state, locked),
						STATE(struct ata_drive_state, event),
						STATE(struct ata_drive_state, recovery),
						STATE(struct ata_drive_state, retries),
						STATE_PAD(struct ata_drive_state, pad_),
						STATE_END },
};
