/*
 * The list of pieces of guest memory that a command's data goes to or comes from, as a cursor: the
 * guest may change the list while it is read, so every entry is copied once and each step is
 * bounded by bytes or entries.
 */
#ifndef DEVMODEL_STORAGE_CTRL_ATA_SG_H
#define DEVMODEL_STORAGE_CTRL_ATA_SG_H
#include "devmodel/dev.h"
#include "devmodel/storage/blk.h"

struct ata_sg {
	uint64_t table;	  /* address of the next entry */
	uint32_t entries; /* at most so many are left */
	bool legacy;	  /* entries of the IDE bus master */
	bool notify;	  /* an entry that was begun asks for an interrupt (AHCI) */
	uint32_t left;	  /* bytes of the entry begun */
	uint64_t gpa;	  /* where they lie */
};

/* AHCI 1.3.1, 4.2.3: entries of 16 bytes. */
void ata_sg_ahci(struct ata_sg *sg, uint64_t table, uint32_t entries);
/* Programming Interface for Bus Master IDE Controller 1.0, 1.2: entries of 8 bytes, the last one is
 * marked; the table lies within 64 KiB. */
void ata_sg_ide(struct ata_sg *sg, uint32_t table);

/* Begins the next entry if there is none begun. False: no more, or the table is not in memory. */
bool ata_sg_more(struct dev *d, struct ata_sg *sg);
/* Copies up to n bytes; returns how many before the list, or memory behind it, came to an end. */
size_t ata_sg_copy(struct dev *d, struct ata_sg *sg, void *buf, size_t n, bool to_guest);
/* Fills r's iov and n_iov and gpa with the next pieces, at most max bytes, a multiple of block.
 * Returns the bytes; 0: the next block is not made of whole pieces of RAM, and sg is as it was. */
uint64_t ata_sg_iov(struct dev *d, struct ata_sg *sg, struct blk_req *r, uint64_t *gpa,
		    uint64_t max, uint32_t block, bool to_guest);
#endif
