; A boot sector for the tests of firmware. Says on the first serial port which BIOS drive it came from,
; what the second sectors of this drive and of the next say (text up to a zero), and how often it has
; been booted: sector 2 of its drive counts. Then a byte from the port decides: 'r' resets, anything
; else ends with status 7 by the debug-exit port.
%include "sector16.inc"
	mov	al, [drive]
	call	put_hex
	mov	word [packet.lba], 1
	call	read_and_say
	inc	byte [drive]
	call	read_and_say
	dec	byte [drive]
	mov	word [packet.lba], 2
	mov	ah, 0x42
	call	disk
	inc	byte [buffer]
	mov	ax, 0x4300
	call	disk
	mov	al, [buffer]
	call	put_hex
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
	lidt	[empty]			; as systems do in case nothing comes of it
	int	3

read_and_say:
	mov	al, ' '
	call	put
	mov	byte [buffer], 0
	mov	ah, 0x42
	call	disk
	mov	si, buffer
.next:
	lodsb
	test	al, al
	jz	.end
	call	put
	jmp	.next
.end:
	mov	al, ' '
	jmp	put

; ah: 42 read, 43 write. A '!' for a drive that is not there.
disk:
	mov	si, packet
	mov	dl, [drive]
	int	0x13
	jnc	.good
	mov	al, '!'
	call	put
.good:
	ret

%include "serial16.inc"

empty	dw 0, 0, 0
align 4
packet:
	dw 16, 1, buffer, 0
.lba:	dq 0
	times 510 - ($ - $$) db 0
	dw 0xaa55
buffer equ 0x8000
