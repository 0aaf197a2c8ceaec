; A boot sector for the tests of the screen: says "ready", then does what the key typed says, and
; says that key when it is done.
;   1  text mode 80x25: lines 2 to 9 hold the codes 0 to 255, 32 a line; cursor at column 7, line 12
;   h  hides the cursor
;   2  320x200 in 256 colours: pixel (x, y) is colour (x ^ y) & 255; colour i is, in 6 bits,
;      red i / 4, green 63 - i / 4, blue (i & 15) * 4
;   3  no picture    4  a picture again
;   5  changes the first four characters or pixels as fast as it can, until the next key
;   Q  ends with status 7
bits 16
org 0x7c00
	xor	ax, ax
	mov	ds, ax
	mov	ss, ax
	mov	sp, 0x7c00
	mov	al, 'r'
next:
	call	put
	mov	al, 10
	call	put
	xor	ax, ax
	int	0x16
	push	next_pop
	mov	bl, al
	push	bx
	cld
	cmp	bl, '1'
	je	letters
	cmp	bl, 'h'
	je	hide
	cmp	bl, '2'
	je	pixels
	cmp	bl, '3'
	je	off
	cmp	bl, '4'
	je	on
	cmp	bl, '5'
	je	busy
	cmp	bl, 'Q'
	jne	done
	mov	al, 7
	out	0xf4, al
	hlt
done:
	pop	bx
	ret
next_pop:
	mov	al, bl
	jmp	next

letters:
	mov	ax, 3
	int	0x10
	push	word 0xb800
	pop	es
	mov	di, 2 * 160
	mov	ax, 0x1e00
.line:
	mov	cx, 32
.code:
	stosw
	inc	al
	loop	.code
	add	di, 160 - 64
	test	al, al
	jnz	.line
	mov	ah, 2
	xor	bx, bx
	mov	dx, 0x0c07
	int	0x10
	jmp	done

hide:
	mov	ah, 1
	mov	cx, 0x2000
	int	0x10
	jmp	done

pixels:
	mov	ax, 0x13
	int	0x10
	mov	dx, 0x3c8
	xor	ax, ax
	out	dx, al
	inc	dx
	xor	cx, cx
.colour:
	mov	al, cl
	shr	al, 2
	out	dx, al
	neg	al
	add	al, 63
	out	dx, al
	mov	al, cl
	and	al, 15
	shl	al, 2
	out	dx, al
	inc	cl
	jnz	.colour
	push	word 0xa000
	pop	es
	xor	di, di
	xor	dx, dx
.row:
	xor	cx, cx
.pixel:
	mov	al, cl
	xor	al, dl
	stosb
	inc	cx
	cmp	cx, 320
	jne	.pixel
	inc	dx
	cmp	dx, 200
	jne	.row
	jmp	done

off:
	mov	ah, 0x20
	jmp	sequencer
on:
	xor	ah, ah
sequencer:			; register 1, bit 5: no picture
	mov	dx, 0x3c4
	mov	al, 1
	out	dx, al
	inc	dx
	in	al, dx
	and	al, 0xdf
	or	al, ah
	out	dx, al
	jmp	done

busy:
	mov	al, bl
	call	put
	mov	al, 10
	call	put
.again:
	inc	dword [es:0]
	mov	ah, 1
	int	0x16
	jz	.again
	jmp	done

%include "serial16.inc"

	times 510 - ($ - $$) db 0
	dw 0xaa55
