; strings: string instructions with faults in the middle, both directions, address sizes, ports;
; SDM volume 1, 7.3.9; volume 2 "REP", "MOVS", "INS"
%include "rt.inc"

section .bss
	alignb 4096
table:	resb 4096
pages:	resb 3 * 4096

section .text
bits 32
main:
	mov eax, go
	call rt_enter64
bits 64
VIRT equ 0x40000000	; three pages: there, there, missing
go:
	mov qword [rt_pd + 4096], table + 7
	mov qword [table], pages + 7
	mov qword [table + 8], pages + 4096 + 7
	mov qword [table + 16], 0
	mov qword [table + 24], pages + 8192 + 5	; read only
	mov rax, cr0
	bts rax, 16
	mov cr0, rax
	mov rax, cr3
	mov cr3, rax
	cld
	; fill, then a fault at the page's end: registers say how far it came
	mov edi, VIRT + 0x1000 + 0xff0
	mov ecx, 64
	mov al, 0x41
	FAULTS "rep stosb into a missing page", VEC_PF, 2, rep stosb
	EQ rcx, 48, "RCX: what is left"
	EQ rdi, VIRT + 0x2000, "RDI: where it stopped"
	EQ [x_cr2], VIRT + 0x2000, "CR2"
	movzx eax, byte [pages + 4096 + 0xfff]
	EQ rax, 0x41, "what fitted is written"
	; the page comes, and it goes on
	mov qword [table + 16], pages + 8192 + 7
	rep stosb
	EQ rcx, 0, "it goes on to the end"
	movzx eax, byte [pages + 8192 + 47]
	EQ rax, 0x41, "the last byte"
	mov qword [table + 16], 0
	invlpg [VIRT + 0x2000]
	; movs: the source faults, the destination faults; elements over the border
	mov esi, VIRT + 0x1000 + 0xff8
	mov edi, VIRT
	mov ecx, 4
	FAULTS "rep movsd, source", VEC_PF, 0, rep movsd
	EQ rcx, 2, "RCX, source"
	EQ rsi, VIRT + 0x2000, "RSI, source"
	EQ rdi, VIRT + 8, "RDI, source"
	mov esi, VIRT
	mov edi, VIRT + 0x1000 + 0xffa
	mov ecx, 4
	FAULTS "rep movsd, destination over the border", VEC_PF, 2, rep movsd
	EQ rcx, 3, "RCX, destination"
	EQ rdi, VIRT + 0x1000 + 0xffe, "RDI, destination"
	mov esi, VIRT
	mov edi, VIRT + 0x3000
	mov ecx, 4
	FAULTS "rep movsq into a read-only page", VEC_PF, 3, rep movsq
	EQ rcx, 4, "RCX, nothing moved"
	; downwards
	std
	mov edi, VIRT + 0x1000 + 7
	mov qword [pages + 4096], 0
	mov qword [table], 0
	invlpg [VIRT]
	mov ecx, 16
	mov al, 0x42
	FAULTS "rep stosb downwards", VEC_PF, 2, rep stosb
	EQ rcx, 8, "RCX, downwards"
	EQ rdi, VIRT + 0xfff, "RDI, downwards"
	EQ [x_cr2], VIRT + 0xfff, "CR2, downwards"
	cld
	mov qword [table], pages + 7
	; nothing to do: no access
	mov edi, VIRT + 0x2000
	xor ecx, ecx
	RUNS "rep stosb with RCX 0", rep stosb
	EQ rdi, VIRT + 0x2000, "RDI stays"
	mov rsi, 0x0000800000000000
	RUNS "rep movsb with RCX 0", rep movsb
	; cmps and scas: flags and registers
	mov dword [pages], 'abcd'
	mov dword [pages + 0x100], 'abxd'
	mov esi, VIRT
	mov edi, VIRT + 0x100
	mov ecx, 4
	repe cmpsb
	setb al
	movzx eax, al
	EQ rax, 1, "repe cmpsb: flags"
	EQ rcx, 1, "repe cmpsb: RCX"
	xor eax, eax
	cmp eax, 0
	xor ecx, ecx
	stc
	repe cmpsb
	setc al
	movzx eax, al
	EQ rax, 1, "with RCX 0 flags stay"
	mov edi, VIRT + 0x1000 + 0xffc
	mov eax, 0x77
	mov ecx, 8
	FAULTS "repne scasb runs into a missing page", VEC_PF, 0, repne scasb
	EQ rcx, 4, "repne scasb: RCX"
	; address sizes: 32-bit wraps and clears the upper halves
	mov rdi, 0xffffffff00000000 + VIRT
	mov rcx, 0xffffffff00000004
	mov al, 0x43
	a32 rep stosb
	EQ rcx, 0, "a32: ECX counts, RCX is cleared above"
	EQ rdi, VIRT + 4, "a32: EDI"
	; overlapping forward copy spreads
	mov byte [pages], 'z'
	mov esi, VIRT
	mov edi, VIRT + 1
	mov ecx, 100
	rep movsb
	movzx eax, byte [pages + 100]
	EQ rax, 'z', "overlap forward, bytes"
	mov rax, 0x1122334455667788
	mov [pages], rax
	mov esi, VIRT
	mov edi, VIRT + 8
	mov ecx, 20
	rep movsq
	EQ [pages + 160], [pages], "overlap forward, quadwords"
	mov byte [pages + 3], 'q'
	mov esi, VIRT
	mov edi, VIRT + 3
	mov ecx, 16
	rep movsd
	EQ rcx, 0, "crooked overlap"
	; large counts over many pages
	mov edi, 0x400000
	mov ecx, 0x100000
	xor eax, eax
	rep stosb
	mov byte [0x4fffff], 7
	mov edi, 0x400000
	mov ecx, 0x200000
	xor eax, eax
	repe scasb
	EQ rdi, 0x500000, "repe scasb over a megabyte"
	; ports: ins needs write access before it reads
	mov edi, VIRT + 0x2000
	mov edx, 0x80
	mov ecx, 1
	FAULTS "insb into a missing page", VEC_PF, 2, rep insb
	EQ rcx, 1, "insb: RCX"
	mov esi, VIRT + 0x1000 + 0xffe
	mov ecx, 4
	FAULTS "rep outsb from a missing page", VEC_PF, 0, rep outsb
	EQ rcx, 2, "rep outsb: RCX"
	EQ rsi, VIRT + 0x2000, "rep outsb: RSI"
	mov edi, VIRT
	mov ecx, 3
	RUNS "rep insb", rep insb
	EQ rdi, VIRT + 3, "rep insb: RDI"
	; segment prefix works on the source alone
	mov ecx, 0xc0000100
	mov eax, VIRT
	xor edx, edx
	wrmsr
	mov rsi, 0x20
	mov dword [pages + 0x20], 0x99
	mov edi, VIRT + 0x40
	fs movsd
	mov eax, [pages + 0x40]
	EQ rax, 0x99, "fs movsd"
	; at CPL 3 with the page of the supervisor
	mov qword [table + 8], pages + 4096 + 3
	invlpg [VIRT + 0x1000]
	USER .u_rep
	WAS "user rep stosb", VEC_PF, 7, .u_rep_at
	EQ rcx, 8, "user rep stosb: RCX"
	FINISH
.u_rep:
	mov edi, VIRT + 0xff8
	mov ecx, 16
.u_rep_at: rep stosb
