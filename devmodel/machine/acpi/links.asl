/* PCI interrupt link devices: how PIRQ A to H are routed to ISA interrupts (LPC 0x60 to 0x6b). */
Name (LBUF, ResourceTemplate ()
{
	IRQ (Level, ActiveLow, Shared, ROUT) { }
})
CreateWordField (LBUF, ROUT._INT, LIRQ)
Method (LCRS, 1, Serialized)
{
	LIRQ = Zero
	If (!(Arg0 & 0x80))
	{
		LIRQ = (One << (Arg0 & 0x0F))
	}
	Return (LBUF)
}
Method (LSTA, 1, NotSerialized)
{
	If (Arg0 & 0x80)
	{
		Return (0x09)
	}
	Return (0x0B)
}
Method (LSRS, 1, Serialized)
{
	CreateWordField (Arg0, One, IRQW)
	FindSetRightBit (IRQW, Local0)
	If (Local0)
	{
		Return (Local0 - One)
	}
	Return (0x80)
}
Device (LNKA)
{
	Name (_HID, EisaId ("PNP0C0F"))
	Name (_UID, 0)
	Name (_PRS, ResourceTemplate ()
	{
		IRQ (Level, ActiveLow, Shared) { 5, 10, 11 }
	})
	Method (_STA, 0, NotSerialized)
	{
		Return (LSTA (\_SB.PCI0.LPC.PRQA))
	}
	Method (_DIS, 0, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQA |= 0x80
	}
	Method (_CRS, 0, NotSerialized)
	{
		Return (LCRS (\_SB.PCI0.LPC.PRQA))
	}
	Method (_SRS, 1, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQA = LSRS (Arg0)
	}
}
Device (LNKB)
{
	Name (_HID, EisaId ("PNP0C0F"))
	Name (_UID, 1)
	Name (_PRS, ResourceTemplate ()
	{
		IRQ (Level, ActiveLow, Shared) { 5, 10, 11 }
	})
	Method (_STA, 0, NotSerialized)
	{
		Return (LSTA (\_SB.PCI0.LPC.PRQB))
	}
	Method (_DIS, 0, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQB |= 0x80
	}
	Method (_CRS, 0, NotSerialized)
	{
		Return (LCRS (\_SB.PCI0.LPC.PRQB))
	}
	Method (_SRS, 1, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQB = LSRS (Arg0)
	}
}
Device (LNKC)
{
	Name (_HID, EisaId ("PNP0C0F"))
	Name (_UID, 2)
	Name (_PRS, ResourceTemplate ()
	{
		IRQ (Level, ActiveLow, Shared) { 5, 10, 11 }
	})
	Method (_STA, 0, NotSerialized)
	{
		Return (LSTA (\_SB.PCI0.LPC.PRQC))
	}
	Method (_DIS, 0, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQC |= 0x80
	}
	Method (_CRS, 0, NotSerialized)
	{
		Return (LCRS (\_SB.PCI0.LPC.PRQC))
	}
	Method (_SRS, 1, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQC = LSRS (Arg0)
	}
}
Device (LNKD)
{
	Name (_HID, EisaId ("PNP0C0F"))
	Name (_UID, 3)
	Name (_PRS, ResourceTemplate ()
	{
		IRQ (Level, ActiveLow, Shared) { 5, 10, 11 }
	})
	Method (_STA, 0, NotSerialized)
	{
		Return (LSTA (\_SB.PCI0.LPC.PRQD))
	}
	Method (_DIS, 0, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQD |= 0x80
	}
	Method (_CRS, 0, NotSerialized)
	{
		Return (LCRS (\_SB.PCI0.LPC.PRQD))
	}
	Method (_SRS, 1, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQD = LSRS (Arg0)
	}
}
Device (LNKE)
{
	Name (_HID, EisaId ("PNP0C0F"))
	Name (_UID, 4)
	Name (_PRS, ResourceTemplate ()
	{
		IRQ (Level, ActiveLow, Shared) { 5, 10, 11 }
	})
	Method (_STA, 0, NotSerialized)
	{
		Return (LSTA (\_SB.PCI0.LPC.PRQE))
	}
	Method (_DIS, 0, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQE |= 0x80
	}
	Method (_CRS, 0, NotSerialized)
	{
		Return (LCRS (\_SB.PCI0.LPC.PRQE))
	}
	Method (_SRS, 1, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQE = LSRS (Arg0)
	}
}
Device (LNKF)
{
	Name (_HID, EisaId ("PNP0C0F"))
	Name (_UID, 5)
	Name (_PRS, ResourceTemplate ()
	{
		IRQ (Level, ActiveLow, Shared) { 5, 10, 11 }
	})
	Method (_STA, 0, NotSerialized)
	{
		Return (LSTA (\_SB.PCI0.LPC.PRQF))
	}
	Method (_DIS, 0, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQF |= 0x80
	}
	Method (_CRS, 0, NotSerialized)
	{
		Return (LCRS (\_SB.PCI0.LPC.PRQF))
	}
	Method (_SRS, 1, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQF = LSRS (Arg0)
	}
}
Device (LNKG)
{
	Name (_HID, EisaId ("PNP0C0F"))
	Name (_UID, 6)
	Name (_PRS, ResourceTemplate ()
	{
		IRQ (Level, ActiveLow, Shared) { 5, 10, 11 }
	})
	Method (_STA, 0, NotSerialized)
	{
		Return (LSTA (\_SB.PCI0.LPC.PRQG))
	}
	Method (_DIS, 0, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQG |= 0x80
	}
	Method (_CRS, 0, NotSerialized)
	{
		Return (LCRS (\_SB.PCI0.LPC.PRQG))
	}
	Method (_SRS, 1, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQG = LSRS (Arg0)
	}
}
Device (LNKH)
{
	Name (_HID, EisaId ("PNP0C0F"))
	Name (_UID, 7)
	Name (_PRS, ResourceTemplate ()
	{
		IRQ (Level, ActiveLow, Shared) { 5, 10, 11 }
	})
	Method (_STA, 0, NotSerialized)
	{
		Return (LSTA (\_SB.PCI0.LPC.PRQH))
	}
	Method (_DIS, 0, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQH |= 0x80
	}
	Method (_CRS, 0, NotSerialized)
	{
		Return (LCRS (\_SB.PCI0.LPC.PRQH))
	}
	Method (_SRS, 1, NotSerialized)
	{
		\_SB.PCI0.LPC.PRQH = LSRS (Arg0)
	}
}
