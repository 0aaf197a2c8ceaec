; smc-dma: code that a device writes; the device is the firmware configuration's, whose items 0 and
; 1 are four bytes each
%include "rt.inc"

ROUNDS	equ 100
DMA_HI	equ 0x514
DMA_LO	equ 0x518

section .bss
	alignb 4096
page:	resb 8192
	alignb 16
access:	resd 4			; control, length, address; big endian

section .text
bits 32
; ecx: item; edi: where to
fetch:
	mov eax, ecx
	shl eax, 16
	or eax, 0x0a			; select, read
	bswap eax
	mov [access], eax
	mov dword [access + 4], 4 << 24
	mov dword [access + 8], 0
	mov eax, edi
	bswap eax
	mov [access + 12], eax
	xor eax, eax
	mov dx, DMA_HI
	out dx, eax
	mov eax, access
	bswap eax
	mov dx, DMA_LO
	out dx, eax
	ret

main:
	; in a page of its own, called in between
	mov byte [page + 0x10], 0xb8
	mov dword [page + 0x11], 7
	mov byte [page + 0x15], 0xc3
	call page + 0x10
	EQ eax, 7, "before"
	xor esi, esi
	xor ebp, ebp
.round:	xor ecx, ecx
	mov edi, page + 0x11
	call fetch
	call page + 0x10
	cmp eax, 'QEMU'
	je .one
	inc ebp
.one:	mov ecx, 1
	call fetch
	mov ebx, [page + 0x11]
	call page + 0x10
	cmp eax, ebx
	jne .bad
	cmp eax, 'QEMU'
	jne .next
.bad:	inc ebp
.next:	inc esi
	cmp esi, ROUNDS
	jb .round
	EQ ebp, 0, "calls that ran what was there before"
	; over a page's end
	mov byte [page + 4093], 0xb8
	mov dword [page + 4094], 9
	mov byte [page + 4098], 0xc3
	call page + 4093
	EQ eax, 9, "over a page's end, before"
	xor ecx, ecx
	mov edi, page + 4094
	call fetch
	call page + 4093
	EQ eax, 'QEMU', "over a page's end"
	; into the block that asks for it: seen at once
	mov esi, ROUNDS
	xor ebp, ebp
.own:	mov dword [.own_imm + 1], 0
	xor ecx, ecx
	mov edi, .own_imm + 1
	mov eax, 0x0a000000
	mov [access], eax
	mov eax, edi
	bswap eax
	mov [access + 12], eax
	xor eax, eax
	mov dx, DMA_HI
	out dx, eax
	mov eax, access
	bswap eax
	mov dx, DMA_LO
	out dx, eax
.own_imm:
	mov eax, 0
	cmp eax, 'QEMU'
	je .own_1
	inc ebp
.own_1:	dec esi
	jnz .own
	EQ ebp, 0, "into the block that runs"
	FINISH
