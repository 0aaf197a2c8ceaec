; A boot sector for floppy drives: reads the sector at CYLINDER, HEAD, SECTOR through INT 13h, and says on
; the first serial port its drive, the status and the text in it up to a zero; with WRITE, it writes the
; text back in capitals first and reads it again. Ends with status 7 by the debug-exit port.
%include "sector16.inc"
	mov	al, [drive]
	call	put_hex
	mov	al, ' '
	call	put
	mov	ah, 2
	call	disk
%ifdef WRITE
	mov	si, 0x8000
.upper:
	and	byte [si], 0xdf
	inc	si
	cmp	byte [si], 0
	jne	.upper
	mov	ah, 3
	call	disk
	mov	byte [0x8000], 0
	mov	ah, 2
	call	disk
%endif
	mov	si, 0x8000
.next:
	lodsb
	test	al, al
	jz	.end
	call	put
	jmp	.next
.end:
	mov	al, 10
	call	put
	mov	al, 7
	out	0xf4, al
	hlt

; ah: 2 read, 3 write; says the status.
disk:
	mov	al, 1
	mov	bx, 0x8000
	mov	cx, (CYLINDER & 255) << 8 | SECTOR
	mov	dh, HEAD
	mov	dl, [drive]
	int	0x13
	mov	al, ah
	call	put_hex
	mov	al, ' '
	jmp	put

%include "serial16.inc"

	times 510 - ($ - $$) db 0
	dw 0xaa55
