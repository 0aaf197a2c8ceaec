; A multiboot program that keeps a ledger on the first IDE disk: its 64 first sectors are a ring of records. It looks
; for the last one, and then for ever writes the next, flushes it, and tells its number, eight hexadecimal digits and
; a line feed, on the first serial port; some 200 a second. A record is a sector full of its number.
%define RING 64
%define ATA 0x1f0
%define PAUSE_TICKS 6000		; of 1193182 a second
bits 32
section .text
align 4
	dd 0x1badb002, 0, -0x1badb002	; multiboot header

global _start
_start:
	mov	esp, stack
	xor	ebx, ebx		; the last number
	xor	ebp, ebp		; sector
look:
	mov	al, 0x20		; READ SECTORS
	call	command
	mov	edi, sector
	mov	ecx, 256
	mov	dx, ATA
	rep insw
	mov	eax, [sector]
	cmp	eax, ebx
	jb	older
	mov	ebx, eax
older:
	inc	ebp
	cmp	ebp, RING
	jb	look

next:
	inc	ebx
	mov	edi, sector
	mov	eax, ebx
	mov	ecx, 128
	rep stosd
	mov	ebp, ebx
	and	ebp, RING - 1
	mov	al, 0x30		; WRITE SECTORS
	call	command
	mov	esi, sector
	mov	ecx, 256
	mov	dx, ATA
	rep outsw
	call	ready
	mov	al, 0xe7		; FLUSH CACHE
	mov	dx, ATA + 7
	out	dx, al
	call	ready
	mov	edi, ebx
	mov	ecx, 8
digit:
	rol	edi, 4
	mov	eax, edi
	and	eax, 15
	mov	al, [digits + eax]
	call	put
	loop	digit
	mov	al, 10
	call	put
	call	rest
	jmp	next

command:				; AL for sector EBP; when it wants data or has some
	push	eax
	call	ready
	mov	dx, ATA + 2
	mov	al, 1
	out	dx, al
	inc	dx
	mov	eax, ebp
	out	dx, al
	inc	dx
	xor	eax, eax
	out	dx, al
	inc	dx
	out	dx, al
	inc	dx
	mov	al, 0xe0
	out	dx, al
	pop	eax
	inc	dx
	out	dx, al
.wait:
	call	ready
	test	al, 8
	jz	.wait
	ret

ready:					; AL: status, when it is not busy; an error stops everything
	mov	dx, ATA + 7
	in	al, dx
	test	al, 0x80
	jnz	ready
	test	al, 0x21
	jz	.good
	hlt
.good:
	ret

rest:					; by channel 2 of the PIT
	in	al, 0x61
	and	al, 0xfc
	or	al, 1
	out	0x61, al
	mov	al, 0xb0
	out	0x43, al
	mov	eax, PAUSE_TICKS
	out	0x42, al
	mov	al, ah
	out	0x42, al
.wait:
	in	al, 0x61
	test	al, 0x20
	jz	.wait
	ret

%include "serial32.inc"

section .data
digits	db	"0123456789abcdef"

section .bss
sector	resb	512
	resb	4096
stack:
