; An option ROM: says hello on the first serial port when the BIOS calls it.
bits 16
org 0
	db	0x55, 0xaa, 1		; one block of 512 bytes
	jmp	start
start:
	push	ds
	push	si
	push	cs
	pop	ds
	mov	si, text
.next:
	lodsb
	test	al, al
	jz	.end
	call	put
	jmp	.next
.end:
	pop	si
	pop	ds
	retf
%include "serial16.inc"
text	db "option ROM", 10, 0
	times 511 - ($ - $$) db 0
	db 0				; the checksum, by whoever builds it
