; A boot sector for the tests of the keyboard: says "ready", then for each key that the BIOS has
; (INT 16h) its character and scan code in hex, a line a key. Character 'Q' ends it with status 7.
bits 16
org 0x7c00
	xor	ax, ax
	mov	ds, ax
	mov	ss, ax
	mov	sp, 0x7c00
	mov	si, ready
.next:
	lodsb
	test	al, al
	jz	again
	call	put
	jmp	.next
again:
	xor	ax, ax
	int	0x16
	push	ax
	call	put_hex
	mov	al, ah
	call	put_hex
	mov	al, 10
	call	put
	pop	ax
	cmp	al, 'Q'
	jne	again
	mov	al, 7
	out	0xf4, al
	hlt

%include "serial16.inc"

ready	db "ready", 10, 0
	times 510 - ($ - $$) db 0
	dw 0xaa55
