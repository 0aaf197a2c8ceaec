; A boot sector for the tests of full disks: writes CHUNKS pieces of 32 KiB, filled with words 1, 2 and so on,
; one after the other from sector 64 of the BIOS drive TARGET on. Says '.' on the first serial port for each that
; was written, 'E' for each that failed, and a line's end after the last; a byte from there ends it.
%include "sector16.inc"
next:
	mov	ax, BUFFER
	mov	es, ax
	xor	di, di
	inc	word [chunk]
	mov	ax, [chunk]
	mov	cx, 16384
	cld
	rep stosw
	mov	si, packet
	mov	dl, TARGET
	mov	ax, 0x4300
	int	0x13
	mov	al, '.'
	jnc	.good
	mov	al, 'E'
.good:
	call	put
	add	dword [packet.lba], 64
	cmp	word [chunk], CHUNKS
	jb	next
	mov	al, 10
	call	put
	call	get
	mov	al, 7
	out	0xf4, al

%include "serial16.inc"

chunk	dw 0
align 4
packet:
	dw 16, 64, 0, BUFFER
.lba:	dq 64
	times 510 - ($ - $$) db 0
	dw 0xaa55
BUFFER equ 0x2000
