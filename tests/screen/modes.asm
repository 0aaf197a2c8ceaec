; A disk that shows a pattern in a VGA mode: the first serial port gives the number of the mode (one
; byte, the place in the table below); the answer is '.' when the pattern is there, '!' where the VGA
; BIOS refuses the mode. In every mode the byte at offset O of plane P is
;	O's low byte * 7 + its second * 13 + its third * 5 + P * 29
; The DAC of modes with 256 colours: entry I is I & 63, I * 3 & 63, I / 4. Text modes have no cursor and
; bright backgrounds instead of blinking.
%include "sector16.inc"
	cld
	mov	si, packet
	mov	ah, 0x42
	int	0x13
	jnc	main
	mov	al, '?'
	call	put
.stop:
	hlt
	jmp	.stop

%include "serial16.inc"

align 4
packet:
	dw 16, 7, 0x7e00, 0
	dq 1
	times 510 - ($ - $$) db 0
	dw 0xaa55

; ---- sector 2 on

main:
	mov	al, '>'
	call	put
	call	get
	mov	ah, 0
	shl	ax, 4
	add	ax, modes
	mov	bx, ax
	call	set_mode
	jc	.refused
	call	set_dac
	call	fill
	mov	al, '.'
	call	put
	jmp	main
.refused:
	mov	al, '!'
	call	put
	jmp	main

; An entry, 16 bytes: BIOS mode (VBE from 100h on), routine that changes it or 0, segment of the window,
; how it is filled (one of the next), bytes of a plane (dword), register list or 0, 2 spare.
FLAT	equ 0		; one plane
PLANES	equ 1		; four planes by the map mask
BANKS	equ 2		; VBE, 64 KiB at a time
DAC256	equ 0x80

%macro mode 6
	dw %1, %2, %3, %4
	dd %5
	dw %6, 0
%endmacro
modes:
	mode 0x00, text,     0xb800, FLAT, 40 * 25 * 2, 0		; 0: 40x25
	mode 0x03, text,     0xb800, FLAT, 80 * 25 * 2, 0		; 1: 80x25, 9 dots
	mode 0x03, text8,    0xb800, FLAT, 80 * 25 * 2, 0		; 2: 80x25, 8 dots
	mode 0x03, text50,   0xb800, FLAT, 80 * 50 * 2, 0		; 3: 80x50
	mode 0x07, text,     0xb000, FLAT, 80 * 25 * 2, 0		; 4: monochrome
	mode 0x04, 0,        0xb800, FLAT, 0x4000, 0			; 5: CGA 320x200, 4 colours
	mode 0x06, 0,        0xb800, FLAT, 0x4000, 0			; 6: CGA 640x200, 2 colours
	mode 0x0d, 0,        0xa000, PLANES, 8000, 0			; 7: 320x200, 16 colours
	mode 0x0e, 0,        0xa000, PLANES, 16000, 0			; 8: 640x200
	mode 0x10, 0,        0xa000, PLANES, 28000, 0			; 9: 640x350
	mode 0x12, 0,        0xa000, PLANES, 38400, 0			; 10: 640x480
	mode 0x11, 0,        0xa000, FLAT, 38400, 0			; 11: 640x480, 2 colours
	mode 0x13, 0,        0xa000, FLAT | DAC256, 64000, 0		; 12: 320x200, 256 colours
	mode 0x13, 0,        0xa000, PLANES | DAC256, 16000, x200	; 13: the same by planes
	mode 0x13, 0,        0xa000, PLANES | DAC256, 19200, x240	; 14: mode X 320x240
	mode 0x13, 0,        0xa000, PLANES | DAC256, 43200, x480	; 15: 360x480
	mode 0x12, 0,        0xa000, PLANES, 38400, split		; 16: 640x480, split at line 240
	mode 0x0d, 0,        0xa000, PLANES, 16384, pan			; 17: 320x200, panned 3 dots in row 100
	mode 0x101, 0,       0xa000, BANKS | DAC256, 640 * 480, 0	; 18: VBE 640x480, 8 bits
	mode 0x111, 0,       0xa000, BANKS, 640 * 480 * 2, 0		; 19: 640x480, 5:6:5
	mode 0x113, 0,       0xa000, BANKS, 800 * 600 * 2, 0		; 20: 800x600, 1:5:5:5
	mode 0x115, 0,       0xa000, BANKS, 800 * 600 * 3, 0		; 21: 800x600, 24 bits
	mode 0x144, 0,       0xa000, BANKS, 1024 * 768 * 4, 0		; 22: 1024x768, 32 bits

; bx: entry. Carry: refused.
set_mode:
	mov	ax, [bx]
	cmp	ax, 0x100
	jae	.vbe
	push	bx
	int	0x10
	pop	bx
	jmp	.change
.vbe:
	push	bx
	mov	bx, ax
	mov	ax, 0x4f02
	int	0x10
	pop	bx
	cmp	ax, 0x4f
	stc
	jne	.end
.change:
	mov	si, [bx + 12]
	call	registers
	mov	ax, [bx + 2]
	test	ax, ax
	jz	.good
	push	bx
	call	ax
	pop	bx
.good:
	clc
.end:
	ret

text8:	; eight dots a character: sequencer 1 bit 0
	mov	dx, 0x3c4
	mov	al, 1
	out	dx, al
	inc	dx
	in	al, dx
	or	al, 1
	out	dx, al
	dec	dx
	jmp	text
text50:	; the 8x8 font
	mov	ax, 0x1112
	mov	bl, 0
	int	0x10
text:	; no cursor, no blinking
	mov	ah, 1
	mov	cx, 0x2000
	int	0x10
	mov	ax, 0x1003
	mov	bx, 0
	int	0x10
	ret

; si: list of port, index and value (port 3c0: attribute controller; 3c2: value only), port 0 ends.
registers:
	test	si, si
	jz	.end
.next:
	lodsw
	test	ax, ax
	jz	.end
	mov	dx, ax
	lodsw
	cmp	dx, 0x3c2
	je	.byte
	cmp	dx, 0x3c0
	je	.attribute
	out	dx, ax
	jmp	.next
.byte:
	out	dx, al
	jmp	.next
.attribute:
	push	ax
	mov	dx, 0x3da
	in	al, dx
	mov	dx, 0x3c0
	pop	ax
	or	al, 0x20
	out	dx, al
	mov	al, ah
	out	dx, al
	jmp	.next
.end:
	ret

%macro reg 3		; port, index, value
	dw %1
	db %2, %3
%endmacro
; Unchained: chain 4 off, byte addresses instead of double words.
x200:
	reg 0x3c4, 4, 6
	reg 0x3d4, 0x14, 0
	reg 0x3d4, 0x17, 0xe3
	dw 0
x240:
	reg 0x3c4, 4, 6
	reg 0x3c4, 0, 1
	reg 0x3c2, 0xe3, 0
	reg 0x3c4, 0, 3
	reg 0x3d4, 0x11, 0x0c
	reg 0x3d4, 0x06, 0x0d
	reg 0x3d4, 0x07, 0x3e
	reg 0x3d4, 0x09, 0x41
	reg 0x3d4, 0x10, 0xea
	reg 0x3d4, 0x11, 0xac
	reg 0x3d4, 0x12, 0xdf
	reg 0x3d4, 0x14, 0
	reg 0x3d4, 0x15, 0xe7
	reg 0x3d4, 0x16, 6
	reg 0x3d4, 0x17, 0xe3
	dw 0
x480:
	reg 0x3c4, 4, 6
	reg 0x3c4, 0, 1
	reg 0x3c2, 0xe7, 0
	reg 0x3c4, 0, 3
	reg 0x3d4, 0x11, 0x0c
	reg 0x3d4, 0x00, 0x6b
	reg 0x3d4, 0x01, 0x59
	reg 0x3d4, 0x02, 0x5a
	reg 0x3d4, 0x03, 0x8e
	reg 0x3d4, 0x04, 0x5e
	reg 0x3d4, 0x05, 0x8a
	reg 0x3d4, 0x06, 0x0d
	reg 0x3d4, 0x07, 0x3e
	reg 0x3d4, 0x09, 0x40
	reg 0x3d4, 0x10, 0xea
	reg 0x3d4, 0x11, 0xac
	reg 0x3d4, 0x12, 0xdf
	reg 0x3d4, 0x13, 0x2d
	reg 0x3d4, 0x14, 0
	reg 0x3d4, 0x15, 0xe7
	reg 0x3d4, 0x16, 6
	reg 0x3d4, 0x17, 0xe3
	dw 0
; From line 240 on it shows what is at offset 0; above, from offset 80 * 100 on.
split:
	reg 0x3d4, 0x11, 0x0c
	reg 0x3d4, 0x0c, 80 * 100 >> 8
	reg 0x3d4, 0x0d, 80 * 100 & 255
	reg 0x3d4, 0x18, 239
	reg 0x3d4, 0x07, 0x2e		; bit 4: line compare bit 8
	reg 0x3d4, 0x09, 0x00		; bit 6: its bit 9
	dw 0
; Row 100 of the memory is the first, moved by three dots.
pan:
	reg 0x3d4, 0x0c, 40 * 100 >> 8
	reg 0x3d4, 0x0d, 40 * 100 & 255
	reg 0x3c0, 0x13, 3
	dw 0

set_dac:
	test	byte [bx + 6], DAC256
	jz	.end
	mov	dx, 0x3c8
	mov	al, 0
	out	dx, al
	inc	dx
	mov	cx, 0
.next:
	mov	al, cl
	and	al, 63
	out	dx, al
	mov	al, cl
	add	al, cl
	add	al, cl
	and	al, 63
	out	dx, al
	mov	al, cl
	shr	al, 2
	out	dx, al
	inc	cl
	jnz	.next
.end:
	ret

fill:
	mov	ax, [bx + 4]
	mov	es, ax
	mov	al, [bx + 6]
	and	al, 0x7f
	mov	ecx, [bx + 8]
	mov	dword [offset], 0
	mov	byte [plane], 0
	cmp	al, BANKS
	je	.banks
	cmp	al, FLAT
	je	some
.planes:
	mov	dx, 0x3c4
	mov	al, 2
	out	dx, al
	inc	dx
	push	cx
	mov	cl, [plane]
	mov	al, 1
	shl	al, cl
	pop	cx
	out	dx, al
	mov	dword [offset], 0
	call	some
	mov	ecx, [bx + 8]
	inc	byte [plane]
	cmp	byte [plane], 4
	jb	.planes
	ret
.banks:
	push	bx
	mov	edx, [offset]
	shr	edx, 16
	mov	ax, 0x4f05
	mov	bx, 0
	int	0x10
	pop	bx
	mov	ecx, [bx + 8]
	sub	ecx, [offset]
	jbe	.end
	cmp	ecx, 0x10000
	jbe	.last
	mov	ecx, 0x10000
.last:
	call	some
	jmp	.banks
.end:
	ret

; ecx bytes, up to 64 KiB, from es:[offset's low 16 bits] on.
some:
	mov	di, [offset]
.next:
	mov	al, [offset]
	mov	ah, 7
	mul	ah
	mov	dl, al
	mov	al, [offset + 1]
	mov	ah, 13
	mul	ah
	add	dl, al
	mov	al, [offset + 2]
	mov	ah, 5
	mul	ah
	add	dl, al
	mov	al, [plane]
	mov	ah, 29
	mul	ah
	add	al, dl
	mov	[es:di], al
	inc	di
	inc	dword [offset]
	dec	ecx
	jnz	.next
	ret

offset	dd 0
plane	db 0
	times 8 * 512 - ($ - $$) db 0
