; A multiboot program for the tests of S3, to be run with 64 MiB: sleeps at once, when it was reset
; it loops instead. What it is woken up at is a loop in real mode.
bits 32
section .text
align 4
	dd 0x1badb002, 0, -0x1badb002	; multiboot header

%define FACS	(64 << 20) - (128 << 10)	; where direct boot places the tables
%define WAKE	0x8000

global _start
_start:
	mov	al, 0x50		; a byte of CMOS memory that a reset leaves alone
	out	0x70, al
	in	al, 0x71
	cmp	al, 0x5a
	je	again
	mov	al, 0x5a
	out	0x71, al
	mov	dword [WAKE], 0xfdebf4fa	; cli, hlt, jmp to hlt
	mov	dword [FACS + 12], WAKE
	mov	dx, 0x604		; PM1 control: S3 as the DSDT says
	mov	ax, 5 << 10 | 1 << 13
	out	dx, ax
again:
	jmp	again
