; exceptions: every vector that software can raise, error codes, and which of two comes first;
; SDM volume 3, 6.5, 6.9 (priority), 6.15; 64-bit and CPL 3 forms
%include "rt.inc"

section .bss
	alignb 4096
table:	resb 4096
page:	resb 4096
	alignb 64
mem:	resb 64

section .data
bounds:	dd 10, 20

section .text
bits 32
VIRT equ 0x40000000
main:
	; 32-bit
	xor edx, edx
	xor ecx, ecx
	mov eax, 7
	FAULTS "division by zero", VEC_DE, 0, div ecx
	EQ eax, 7, "div leaves EAX"
	mov edx, 5
	mov ecx, 5
	FAULTS "quotient too large", VEC_DE, 0, div ecx
	mov eax, 0x80000000
	cdq
	mov ecx, -1
	FAULTS "idiv overflow", VEC_DE, 0, idiv ecx
	mov ax, 0x8000
	mov cl, 0xff
	FAULTS "idiv overflow, byte", VEC_DE, 0, idiv cl
	mov ax, 0x1ff
	mov cl, 2
	RUNS "largest quotient of a byte", div cl
	movzx ecx, al
	EQ ecx, 0xff, "which is"
	FAULTS "aam 0", VEC_DE, 0, aam 0
	TRAPS "int3", VEC_BP, 0, int3
	mov al, 0x7f
	add al, 1
	TRAPS "into with OF", VEC_OF, 0, into
	xor eax, eax
	RUNS "into without OF", into
	mov eax, 9
	FAULTS "bound below", VEC_BR, 0, bound eax, [bounds]
	mov eax, 21
	FAULTS "bound above", VEC_BR, 0, bound eax, [bounds]
	mov eax, 20
	RUNS "bound at the limit", bound eax, [bounds]
	FAULTS "ud2", VEC_UD, 0, ud2
	FAULTS "bound with a register", VEC_UD, 0, db 0x62, 0xc0
	FAULTS "les with a register", VEC_UD, 0, db 0xc4, 0xc0
	FAULTS "lea with a register", VEC_UD, 0, db 0x8d, 0xc0
	FAULTS "lock on a register", VEC_UD, 0, db 0xf0, 0x01, 0xc0
	FAULTS "lock on a load", VEC_UD, 0, db 0xf0, 0x8b, 0x05, 0, 0, 0, 0
	FAULTS "lock nop", VEC_UD, 0, db 0xf0, 0x90
	FAULTS "mov to CS", VEC_UD, 0, db 0x8e, 0xc8
	FAULTS "mov from segment register 6", VEC_UD, 0, db 0x8c, 0xf0
	FAULTS "0f ff", VEC_UD, 0, db 0x0f, 0xff, 0xc0
	FAULTS "fe /2", VEC_UD, 0, db 0xfe, 0xd0
	FAULTS "ff /7", VEC_UD, 0, db 0xff, 0xf8
	FAULTS "8f /1", VEC_UD, 0, db 0x8f, 0xc8
	FAULTS "cmpxchg8b of a register", VEC_UD, 0, db 0x0f, 0xc7, 0xc8
	; length: 15 bytes run, 16 do not
	RUNS "15 bytes", dd 0x66666666, 0x66666666, 0x66666666, 0x90906666
	FAULTS "16 bytes", VEC_GP, 0, dd 0x66666666, 0x66666666, 0x66666666, 0x90666666
	; FPU
	mov eax, cr0
	or eax, 8
	mov cr0, eax
	FAULTS "#NM by TS", VEC_NM, 0, fld1
	FAULTS "#UD by OSFXSR before #NM by TS", VEC_UD, 0, paddd xmm0, xmm1
	FAULTS "fwait with MP and TS", VEC_NM, 0, fwait
	and eax, ~2
	mov cr0, eax
	RUNS "fwait with TS alone", fwait
	and eax, ~8
	or eax, 4
	mov cr0, eax
	FAULTS "#NM by EM", VEC_NM, 0, fld1
	and eax, ~4
	or eax, 2
	mov cr0, eax
	RUNS "x87 back", fld1
	fninit
	FAULTS "SSE without OSFXSR", VEC_UD, 0, addps xmm0, xmm1
	mov eax, cr4
	or eax, 0x200
	mov cr4, eax
	RUNS "SSE with OSFXSR", addps xmm0, xmm1
	mov eax, cr0
	or eax, 8
	mov cr0, eax
	FAULTS "SSE with TS", VEC_NM, 0, addps xmm0, xmm1
	xor eax, 0xc
	mov cr0, eax
	FAULTS "SSE with EM", VEC_UD, 0, addps xmm0, xmm1
	xor eax, 4
	mov cr0, eax
	FAULTS "movaps of a crooked address", VEC_GP, 0, movaps xmm0, [mem + 4]
	; SIMD exceptions: #XM with OSXMMEXCPT, #UD without
	mov dword [mem], 0x1f00		; invalid is not masked
	ldmxcsr [mem]
	pcmpeqd xmm0, xmm0
	xorps xmm1, xmm1
	FAULTS "SIMD exception without OSXMMEXCPT", VEC_UD, 0, sqrtps xmm2, [neg]
	mov eax, cr4
	or eax, 0x400
	mov cr4, eax
	FAULTS "SIMD exception", VEC_XM, 0, sqrtps xmm2, [neg]
	mov dword [mem], 0x10000
	FAULTS "reserved bits of MXCSR", VEC_GP, 0, ldmxcsr [mem]
	mov dword [mem], 0x1f80
	ldmxcsr [mem]
	; alignment check: CPL 3, AM and AC
	mov eax, cr0
	or eax, 0x40000
	mov cr0, eax
	pushf
	or dword [esp], F_AC
	popf
	RUNS "no alignment check at CPL 0", mov eax, [mem + 1]
	pushf
	and dword [esp], ~F_AC
	popf
	USER u_align
	WAS "no alignment check without AC", VEC_DONE, 0, u_align_end
	mov dword [rt_user_flags], 2 | F_AC
	USER u_align
	WAS "alignment check", VEC_AC, 0, u_align
	USER u_align2
	WAS "alignment check of a word", VEC_AC, 0, u_align2
	USER u_align8
	WAS "alignment check of 8 bytes", VEC_AC, 0, u_align8
	USER u_aligned
	WAS "aligned", VEC_DONE, 0, u_aligned_end
	mov dword [rt_user_flags], 2
	mov eax, cr0
	and eax, ~0x40000
	mov cr0, eax

	mov eax, go
	call rt_enter64
bits 64
go:
	mov qword [rt_pd + 4096], table + 7
	mov qword [table], page + 7
	mov rax, cr3
	mov cr3, rax
	; what 64-bit mode has not
	%macro INVALID 1-*
	%rep %0
	FAULTS "opcode that is invalid in 64-bit mode", VEC_UD, 0, db %1
	%rotate 1
	%endrep
	%endmacro
	INVALID 0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61
	INVALID 0xce, 0xd6
	FAULTS "far call with an immediate", VEC_UD, 0, db 0x9a, 0, 0, 0, 0, 8, 0
	FAULTS "far jump with an immediate", VEC_UD, 0, db 0xea, 0, 0, 0, 0, 8, 0
	FAULTS "opcode 82", VEC_UD, 0, db 0x82, 0xc0, 0
	FAULTS "aam", VEC_UD, 0, db 0xd4, 10
	; which of two comes first
	mov rsi, 0x0000800000000000
	FAULTS "#UD before #GP of the operand", VEC_UD, 0, db 0xf0, 0x8b, 0x06
	FAULTS "#UD before #PF of the operand", VEC_UD, 0, db 0xf0, 0x8b, 0x04, 0x25, 0, 0x10, 0, 0x40
	mov rax, cr0
	bts rax, 3
	mov cr0, rax
	FAULTS "#NM before #PF", VEC_NM, 0, fld dword [VIRT + 0x1000]
	FAULTS "#NM before #GP", VEC_NM, 0, fld dword [rsi]
	FAULTS "#NM before #PF, SSE", VEC_NM, 0, movups xmm0, [VIRT + 0x1000]
	btr rax, 3
	mov cr0, rax
	xor ecx, ecx
	FAULTS "#PF before #DE", VEC_PF, 0, div dword [VIRT + 0x1000]
	FAULTS "crooked movaps before #PF", VEC_GP, 0, movaps xmm0, [VIRT + 0x1004]
	FAULTS "#PF, aligned movaps", VEC_PF, 0, movaps xmm0, [VIRT + 0x1000]
	USER u_hlt
	WAS "privilege before everything of the operand", VEC_GP, 0, u_hlt
	USER u_lgdt
	WAS "lgdt at CPL 3 with a missing operand", VEC_GP, 0, u_lgdt
	USER u_in
	WAS "in at CPL 3", VEC_GP, 0, u_in
	; pushes and calls by memory: the read comes first, and nothing changes
	mov rbx, rsp
	FAULTS "push of a missing operand", VEC_PF, 0, push qword [VIRT + 0x1000]
	EQ rbx, rsp, "RSP as before"
	; call whose push faults leaves RIP at the call
	RT_ARM .call_end
	mov rsp, VIRT + 0x1000 + 4096
	mov dword [rt_tss64 + 36], rt_stack0_top
	mov byte [rt_idt64 + VEC_PF * 16 + 4], 1
.call_at: call .call_end
.call_end:
	WAS "call with a missing stack", VEC_PF, 2, .call_at
	EQ [x_sp], VIRT + 0x2000, "RSP as before"
	mov byte [rt_idt64 + VEC_PF * 16 + 4], 0
	; xchg, xadd, cmpxchg8b: nothing changes
	mov eax, 0x11
	FAULTS "xadd to a missing page", VEC_PF, 2, xadd [VIRT + 0x1000], eax
	EQ rax, 0x11, "xadd leaves its register"
	mov byte [page + 0xfff], 0x5a
	mov eax, 0x11
	FAULTS "xchg over into a missing page", VEC_PF, 2, xchg [VIRT + 0xffe], eax
	movzx ecx, byte [page + 0xfff]
	EQ rcx, 0x5a, "xchg leaves its memory"
	EQ rax, 0x11, "xchg leaves its register"
	; a fetch that faults comes before everything else of the instruction
	mov byte [page + 0xfff], 0xf0		; lock, then a missing page
	mov eax, VIRT + 0xfff
	RT_ARM .fetch
	jmp rax
.fetch:	WAS "fetch #PF before #UD", VEC_PF, 0, VIRT + 0xfff
	EQ [x_cr2], VIRT + 0x1000, "CR2 of it"
	; flags at a fault are those from before
	stc
	FAULTS "adc to a missing page", VEC_PF, 2, adc dword [VIRT + 0x1000], 1
	mov rax, [x_flags]
	and eax, 1
	EQ rax, 1, "CF in the frame"
	mov rax, [x_flags]
	and eax, F_RF
	EQ rax, F_RF, "a fault's frame has RF"
	TRAPS "int3 in 64-bit mode", VEC_BP, 0, int3
	mov rax, [x_flags]
	and eax, F_RF
	EQ rax, 0, "a trap's frame has not"
	FINISH

u_hlt:	hlt
u_lgdt:	lgdt [VIRT + 0x1000]
u_in:	in al, 0x80
bits 32
u_align: mov eax, [mem + 1]
	DONE
u_align_end:
u_align2: mov ax, [mem + 1]
u_align8: fld qword [mem + 4]
u_aligned:
	mov eax, [mem + 4]
	mov ax, [mem + 2]
	mov al, [mem + 1]
	DONE
u_aligned_end:

section .rodata
	align 16
neg:	dd 0xbf800000, 0xbf800000, 0xbf800000, 0xbf800000
