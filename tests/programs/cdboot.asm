; An El Torito boot image without emulation. Says on the first serial port which BIOS drive it came
; from and, of the disc's volume descriptor, the standard identifier and the volume's name; then a
; byte from the port decides, as in bootsector.asm: 'r' resets, anything else ends with status 7.
%include "sector16.inc"
	mov	al, [drive]
	call	put_hex
	mov	al, ' '
	call	put
	mov	si, packet
	mov	dl, [drive]
	mov	ah, 0x42
	int	0x13
	jnc	.read
	mov	al, '!'
	call	put
.read:
	mov	si, buffer + 1
	mov	cx, 5
	call	say
	mov	al, ' '
	call	put
	mov	si, buffer + 40
	mov	cx, 8
	call	say
	mov	al, 10
	call	put
	call	get
	cmp	al, 'r'
	je	.reset
	mov	al, 7
	out	0xf4, al
.reset:
	mov	dx, 0xcf9
	mov	al, 6
	out	dx, al
	hlt

say:
	lodsb
	call	put
	loop	say
	ret

%include "serial16.inc"

align 4
packet:	dw	16, 1
	dw	buffer, 0
.lba:	dq	16
times 2048-($-$$) db 0
buffer	equ 0x9000
