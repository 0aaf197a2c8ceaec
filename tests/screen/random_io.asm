; A multiboot program that writes to device registers at random, for ever: legacy ports of VGA, IDE,
; floppy, DMA, timers and keyboard, the video window, and what the BARs of all PCI functions on bus 0
; hold. The command line is the seed. It says "go" on the first serial port when it begins. Where DMA hits
; its own code it may come to any end.
bits 32
section .text
align 4
	dd 0x1badb002, 0, -0x1badb002	; multiboot header

global _start
_start:
	mov	esp, stack
	mov	dword [state], 0x9e3779b9
	test	dword [ebx], 4
	jz	.seeded
	mov	esi, [ebx + 16]
.seed:
	lodsb
	test	al, al
	jz	.seeded
	rol	dword [state], 7
	xor	[state], al
	jmp	.seed
.seeded:
	call	find_bars
	mov	al, 'g'
	call	say
	mov	al, 'o'
	call	say
	mov	al, 10
	call	say
again:
	call	random
	mov	ecx, eax
	and	ecx, 7
	jmp	[kinds + ecx * 4]

say:
	mov	dx, 0x3f8
	out	dx, al
	ret

; eax: the next (xorshift).
random:
	mov	eax, [state]
	mov	edx, eax
	shl	edx, 13
	xor	eax, edx
	mov	edx, eax
	shr	edx, 17
	xor	eax, edx
	mov	edx, eax
	shl	edx, 5
	xor	eax, edx
	mov	[state], eax
	ret

; A port of the list, or one of a BAR: byte, word or double word, mostly written.
legacy:
	call	random
	xor	edx, edx
	mov	ecx, n_ports
	div	ecx
	mov	ebx, [ports + edx * 4]		; first, and how many above bit 16
	call	random
	mov	ecx, ebx
	shr	ecx, 16
	xor	edx, edx
	div	ecx
	add	edx, ebx
	movzx	edx, dx
	jmp	access
bar_port:
	mov	ecx, [n_pio]
	jecxz	again
	call	random
	xor	edx, edx
	div	ecx
	mov	ebx, [pio + edx * 4]
	call	random
	and	eax, 0x1f
	lea	edx, [eax + ebx]
access:
	push	edx
	call	random
	pop	edx
	mov	ecx, eax
	shr	ecx, 28
	cmp	ecx, 2
	jb	.read
	test	ecx, 4
	jz	.byte
	test	ecx, 8
	jz	.word
	out	dx, eax
	jmp	again
.word:
	out	dx, ax
	jmp	again
.byte:
	out	dx, al
	jmp	again
.read:
	in	al, dx
	jmp	again

bar_memory:
	mov	ecx, [n_mem]
	jecxz	.none
	call	random
	xor	edx, edx
	div	ecx
	mov	ebx, [mem + edx * 4]
	call	random
	and	eax, 0xffc
	add	ebx, eax
	call	random
	mov	[ebx], eax
.none:
	jmp	again
window:
	call	random
	and	eax, 0x1fffc
	lea	ebx, [eax + 0xa0000]
	call	random
	mov	[ebx], eax
	jmp	again

; ---- the BARs of bus 0

find_bars:
	xor	esi, esi			; devfn << 8
.function:
	mov	ecx, 0
	call	cfg_read
	cmp	ax, 0xffff
	je	.next
	mov	ecx, 4
	call	cfg_read
	or	al, 7
	out	dx, ax
	mov	edi, 0x10
.bar:
	mov	ecx, edi
	call	cfg_read
	mov	ebx, eax
	test	al, 1
	jz	.memory
	and	ebx, 0xfffc
	jz	.done
	mov	eax, [n_pio]
	mov	[pio + eax * 4], ebx
	inc	dword [n_pio]
	jmp	.done
.memory:
	and	ebx, 0xfffffff0
	cmp	ebx, 0x1000000			; none, or the upper half of one
	jb	.done
	mov	eax, [n_mem]
	mov	[mem + eax * 4], ebx
	inc	dword [n_mem]
.done:
	add	edi, 4
	cmp	edi, 0x28
	jb	.bar
.next:
	add	esi, 0x100
	cmp	esi, 0x10000
	jb	.function
	ret
cfg_read:
	lea	eax, [esi + ecx + 0x80000000]
	mov	dx, 0xcf8
	out	dx, eax
	mov	dx, 0xcfc
	in	eax, dx
	ret

section .data
align 4
kinds	dd	legacy, legacy, legacy, bar_port, bar_memory, bar_memory, window, window
%macro range 2
	dd	%1 | %2 << 16
%endmacro
ports:
	range	0x00, 16
	range	0x40, 4
	range	0x60, 1
	range	0x64, 1
	range	0x81, 15
	range	0xc0, 32
	range	0x170, 8
	range	0x1f0, 8
	range	0x376, 1
	range	0x3f6, 1
	range	0x1ce, 3
	range	0x3b0, 48
	range	0x3c0, 16
	range	0x3d4, 2
	range	0x3f0, 8
n_ports	equ ($ - ports) / 4
state	dd	0
n_pio	dd	0
n_mem	dd	0

section .bss
pio	resd	2048
mem	resd	2048
	resb	4096
stack:
