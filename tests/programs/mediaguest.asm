; A boot sector for the tests of media. For each byte from the first serial port: 'r' resets the floppy
; drive and says the status of reading its first sector, and the text at 0x100 of it up to a zero;
; 'w' writes the sector back with a star as first character of the text and says the status; 'd' says the
; disk change line; 'e' what the CMOS says of floppy drives (bytes 10 and 14); 'l' and 'u' lock and unlock
; the CD drive that is the first IDE drive, 'o' and 'c' open and close it, 't' says its status: an error without a
; disc; 'q' ends with status 7 by the debug-exit port.
%include "sector16.inc"
	mov	al, '>'
	call	put
.wait:
	mov	al, 10
	call	put
	call	get
	mov	byte [0x8100], 0
	cmp	al, 'd'
	je	.line
	cmp	al, 'e'
	je	.cmos
	cmp	al, 'w'
	je	.write
	cmp	al, 'l'
	je	.lock
	cmp	al, 'u'
	je	.lock
	cmp	al, 'o'
	je	.tray
	cmp	al, 'c'
	je	.tray
	cmp	al, 't'
	je	.ready
	cmp	al, 'q'
	jne	.read
	mov	al, 7
	out	0xf4, al
.cmos:
	mov	al, 0x10
	out	0x70, al
	in	al, 0x71
	call	put_hex
	mov	al, 0x14
	out	0x70, al
	in	al, 0x71
	call	put_hex
	jmp	.wait
.line:
	mov	dx, 0x3f2
	mov	al, 0x1c
	out	dx, al
	mov	dx, 0x3f7
	in	al, dx
	call	put_hex
	jmp	.wait
.ready:
	mov	ax, 0			; TEST UNIT READY
	jmp	.send
.tray:
	not	al			; START STOP UNIT: 2 opens, 3 closes
	and	al, 8
	shr	al, 3
	or	al, 2
	mov	ah, 0x1b
	jmp	.send
.lock:
	and	al, 8			; of 'l', not of 'u' after the shift
	shr	al, 3
	mov	ah, 0x1e		; PREVENT ALLOW MEDIUM REMOVAL
.send:
	mov	[packet], ah
	mov	[packet + 4], al
	mov	dx, 0x1f6
	mov	al, 0xa0
	out	dx, al
	inc	dx
	out	dx, al			; PACKET
	mov	bl, 8			; wait for DRQ
	call	.status
	mov	dx, 0x1f0
	mov	si, packet
	mov	cx, 6
	cld
	rep	outsw
	mov	bl, 0x40		; for DRDY
	call	.status
	call	put_hex
	jmp	.wait
.status:
	mov	dx, 0x1f7
	in	al, dx
	test	al, 0x80
	jnz	.status
	test	al, bl
	jz	.status
	ret
.write:
	mov	ah, 2
	call	disk
	mov	byte [0x8100], '*'
	mov	ah, 3
	call	disk
	mov	al, ah
	call	put_hex
	jmp	.wait
.read:
	xor	ax, ax
	xor	dx, dx
	int	0x13
	mov	ah, 2
	call	disk
	mov	al, ah
	call	put_hex
	mov	si, 0x8100
.next:
	lodsb
	test	al, al
	jz	.wait
	call	put
	jmp	.next

disk:
	mov	al, 1
	mov	bx, 0x8000
	mov	cx, 1
	xor	dx, dx
	int	0x13
	ret

%include "serial16.inc"

packet	times 12 db 0
	times 510 - ($ - $$) db 0
	dw 0xaa55
